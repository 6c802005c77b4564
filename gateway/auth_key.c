#include "gateway/auth_key.h"

#include <assert.h>

#include "libgoodfs/mem.h"

enum { CACHE_COUNT = 16 }; /* keys in use on one thread within a day; more only cost time */

struct cached_key {
    size_t secret_len, region_len, service_len;
    char secret[AUTH_SECRET_LEN_MAX], date[AUTH_DATE_LEN], region[AUTH_REGION_LEN_MAX];
    char service[AUTH_SERVICE_LEN_MAX];
    uint8_t key[GFS_SHA256_LEN];
};

/* Owned by its thread. */
static _Thread_local struct cached_key cache[CACHE_COUNT];

static_assert((CACHE_COUNT & (CACHE_COUNT - 1)) == 0, "power of two");

static uint32_t hash(uint32_t value, struct gfs_slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        value = (value ^ (unsigned char)bytes.ptr[i]) * 16777619u; /* FNV-1a */
    }
    return value;
}

static void derive(struct gfs_slice secret, struct gfs_slice date, struct gfs_slice region,
                   struct gfs_slice service, uint8_t ret[GFS_SHA256_LEN])
{
    char prefixed[4 + AUTH_SECRET_LEN_MAX] = "AWS4";
    memcpy(prefixed + 4, secret.ptr, secret.len);
    uint8_t key[GFS_SHA256_LEN];
    gfs_hmac_sha256(gfs_slice_of(prefixed, 4 + secret.len), date, key);
    gfs_hmac_sha256(gfs_slice_of(key, sizeof key), region, ret);
    gfs_hmac_sha256(gfs_slice_of(ret, GFS_SHA256_LEN), service, key);
    gfs_hmac_sha256(gfs_slice_of(key, sizeof key), GFS_SLICE_LITERAL("aws4_request"), ret);
    explicit_bzero(prefixed, sizeof prefixed);
}

void auth_key_get(struct gfs_slice secret, struct gfs_slice date, struct gfs_slice region,
                  struct gfs_slice service, uint8_t ret[GFS_SHA256_LEN])
{
    GFS_ASSERT(secret.len <= AUTH_SECRET_LEN_MAX);
    GFS_ASSERT(date.len == AUTH_DATE_LEN);
    GFS_ASSERT(region.len <= AUTH_REGION_LEN_MAX);
    GFS_ASSERT(service.len <= AUTH_SERVICE_LEN_MAX);
    uint32_t index = hash(hash(hash(hash(2166136261u, secret), date), region), service);
    index = (index ^ index >> 16) & (CACHE_COUNT - 1);
    struct cached_key *entry = &cache[index];
    if (secret.len != 0 && entry->secret_len == secret.len && entry->region_len == region.len &&
        entry->service_len == service.len &&
        gfs_const_time_eq(entry->secret, secret.ptr, secret.len) &&
        memcmp(entry->date, date.ptr, AUTH_DATE_LEN) == 0 &&
        memcmp(entry->region, region.ptr, region.len) == 0 &&
        memcmp(entry->service, service.ptr, service.len) == 0) {
        memcpy(ret, entry->key, GFS_SHA256_LEN);
        return;
    }
    derive(secret, date, region, service, ret);
    entry->secret_len = secret.len;
    entry->region_len = region.len;
    entry->service_len = service.len;
    memcpy(entry->secret, secret.ptr, secret.len);
    memcpy(entry->date, date.ptr, AUTH_DATE_LEN);
    memcpy(entry->region, region.ptr, region.len);
    memcpy(entry->service, service.ptr, service.len);
    memcpy(entry->key, ret, GFS_SHA256_LEN);
}
