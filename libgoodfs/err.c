#include "libgoodfs/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libgoodfs/mem.h"

static const char *const err_texts[] = {
#define X(name, text) text,
    GFS_ERRORS(X)
#undef X
};

static const char *const err_names[] = {
#define X(name, text) #name,
    GFS_ERRORS(X)
#undef X
};

#define ERR_COUNT (sizeof err_texts / sizeof err_texts[0])

const char *gfs_err_text(enum gfs_err code)
{
    return (size_t)code < ERR_COUNT ? err_texts[code] : "unknown error";
}

const char *gfs_err_name(enum gfs_err code)
{
    return (size_t)code < ERR_COUNT ? err_names[code] : "UNKNOWN";
}

enum gfs_err gfs_fail(struct gfs_error *error, enum gfs_err code, const char *format, ...)
{
    if (error != NULL) {
        va_list args;
        va_start(args, format);
        error->code = code;
        (void)vsnprintf(error->text, sizeof error->text, format, args);
        va_end(args);
    }
    return code;
}

enum gfs_err gfs_wrap(struct gfs_error *error, enum gfs_err code, const char *format, ...)
{
    if (error != NULL) {
        char inner[sizeof error->text];
        memcpy(inner, error->text, sizeof inner);
        va_list args;
        va_start(args, format);
        int len = vsnprintf(error->text, sizeof error->text, format, args);
        va_end(args);
        error->code = code;
        size_t used = len < 0 ? 0 : GFS_MIN((size_t)len, sizeof error->text - 1);
        size_t room = sizeof error->text - used;
        (void)snprintf(error->text + used, room, ": %.*s", (int)room, inner);
    }
    return code;
}

enum gfs_err gfs_err_from_errno(int errnum)
{
    switch (errnum) {
    case 0:
        return GFS_OK;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return GFS_NO_SPACE;
    case ENOENT:
        return GFS_NOT_FOUND;
    case EEXIST:
        return GFS_EXISTS;
    case EAGAIN:
        return GFS_AGAIN;
    default:
        return GFS_IO;
    }
}
