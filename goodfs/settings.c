#include "goodfs/settings.h"

#include "libgoodfs/mem.h"

static const struct gfs_setting table[] = {
    {"listen", GFS_CONFIG_LIST, "127.0.0.1:9000", "address:port of the S3 endpoint", 0, 0},
    {"admin-listen", GFS_CONFIG_LIST, "127.0.0.1:9001",
     "address:port of goodfsctl, metrics and health; none = no such. The default is given up when "
     "it is taken",
     0, 0},
    {"admin-keys", GFS_CONFIG_LIST, NULL,
     "files like DIR/root-credentials; their keys may use the admin address, and nothing else", 0,
     0},
    {"root-access-key", GFS_CONFIG_TEXT, NULL, "made at the first start when not set", 0, 0},
    {"root-secret-key", GFS_CONFIG_TEXT, NULL, "better in the environment or a file", 0, 0},
    {"cluster", GFS_CONFIG_TEXT, NULL, "id the directories must belong to; default any", 0, 0},
    {"region", GFS_CONFIG_TEXT, "us-east-1", "region that is shown to clients", 0, 0},
    {"region-strict", GFS_CONFIG_BOOL, "false", "refuse signatures for other regions", 0, 0},
    {"domain", GFS_CONFIG_LIST, NULL, "host name below which buckets are host names", 0, 0},
    {"tls-cert", GFS_CONFIG_TEXT, NULL, "PEM certificate chain: the endpoint speaks https", 0, 0},
    {"tls-key", GFS_CONFIG_TEXT, NULL, "PEM private key; both are read again on SIGHUP", 0, 0},
    {"storage-class", GFS_CONFIG_LIST, NULL,
     "NAME=PROFILE (replica:3, ec:4+2) of a pool; STANDARD by the number of disks when not set", 0,
     0},
    {"small-object-max", GFS_CONFIG_BYTES, "128KiB",
     "up to here an object of an ec class is kept as m+1 copies", 0, 64 << 20},
    {"reserve", GFS_CONFIG_BYTES, "0", "bytes of each disk of a pool not to be used", 0, 0},
    {"allow-minority", GFS_CONFIG_BOOL, "false",
     "open a pool without a quorum of its disks, read-only", 0, 0},
    {"missing-grace-seconds", GFS_CONFIG_UINT, "600",
     "a disk that is away for longer is rebuilt on the others", 0, 86400 * 30},
    {"repair-rate", GFS_CONFIG_BYTES, "0", "bytes a second repair may write; 0 = 256 MiB", 0, 0},
    {"scrub-rate", GFS_CONFIG_BYTES, "0",
     "bytes a second and disk; 0 = 8 MiB, more when five days would not do", 0, 0},
    {"orphan-age-seconds", GFS_CONFIG_UINT, "691200",
     "chunks that nobody refers to are given back when searches found them for so long", 1,
     86400 * 365},
    {"loops", GFS_CONFIG_UINT, "0", "HTTP threads; 0 = one per processor", 0, 256},
    {"workers", GFS_CONFIG_UINT, "4", "threads for calls that wait for the disk", 1, 256},
    {"connections-max", GFS_CONFIG_UINT, "8192", "more wait in the backlog", 1, 1000000},
    {"idle-timeout-seconds", GFS_CONFIG_UINT, "60", "idle connections are closed", 1, 86400},
    {"header-timeout-seconds", GFS_CONFIG_UINT, "20", "a request's headers have come", 1, 86400},
    {"body-rate-min", GFS_CONFIG_UINT, "1024", "bytes a second of a body; 0 = any", 0, 1U << 30},
    {"ingest-memory-max", GFS_CONFIG_BYTES, "256MiB", "small bodies under way", 1 << 20, 0},
    {"meta-cache-bytes", GFS_CONFIG_BYTES, "16MiB", "row cache", 0, 0},
    {"gc-grace-seconds", GFS_CONFIG_UINT, "60", "deleted data stays for reads", 0, 86400 * 30},
    {"log-level", GFS_CONFIG_TEXT, "info", "error, warn, info or debug", 0, 0},
};

const struct gfs_setting *settings_table(size_t *ret_count)
{
    *ret_count = GFS_COUNT(table);
    return table;
}
