/* What every back end shares: compositions of the table's calls. */
#include "libgoodfs/io.h"

#include "libgoodfs/mem.h"

enum gfs_err gfs_io_read_exact(struct gfs_file *file, void *to, size_t len, uint64_t offset)
{
    struct iovec iov = {.iov_base = to, .iov_len = len};
    size_t got = 0;
    enum gfs_err err = file->io->ops->read(file, &iov, 1, offset, 0, &got);
    if (err != GFS_OK) {
        return err;
    }
    return got == len ? GFS_OK : GFS_CORRUPT;
}

enum gfs_err gfs_io_load(struct gfs_io *io, const char *path, void *to, size_t size,
                         size_t *ret_len)
{
    struct gfs_file *file;
    enum gfs_err err = io->ops->file_open(io, path, 0, &file);
    if (err != GFS_OK) {
        return err;
    }
    struct gfs_file_info info;
    err = io->ops->file_info(file, &info);
    if (err == GFS_OK && info.size > size) {
        err = GFS_TOO_BIG;
    }
    if (err == GFS_OK) {
        err = gfs_io_read_exact(file, to, (size_t)info.size, 0);
    }
    io->ops->file_close(file);
    if (err == GFS_OK) {
        *ret_len = (size_t)info.size;
    }
    return err;
}

enum gfs_err gfs_io_replace(struct gfs_io *io, const char *dir, const char *temporary,
                            const char *path, struct gfs_slice bytes)
{
    struct gfs_file *file;
    enum gfs_err err = io->ops->file_open(io, temporary, GFS_IO_CREATE, &file);
    if (err != GFS_OK) {
        return err;
    }
    err = io->ops->truncate(file, 0);
    if (err == GFS_OK) {
        err = io->ops->write(file, bytes.ptr, bytes.len, 0);
    }
    if (err == GFS_OK) {
        err = io->ops->flush(file);
    }
    io->ops->file_close(file);
    if (err == GFS_OK) {
        err = io->ops->rename(io, temporary, path);
    }
    return err == GFS_OK ? io->ops->sync_dir(io, dir) : err;
}
