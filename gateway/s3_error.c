#include "gateway/s3_error.h"

#include <stddef.h>

#include "libgoodfs/mem.h"

struct entry {
    const char *code, *message;
    int status;
};

static const struct entry entries[] = {{"OK", "Success.", 200},
#define X(name, status, text) {#name, text, status},
                                       S3_ERRORS(X)
#undef X
};

static const struct entry *entry_of(enum s3_err err)
{
    size_t index = (size_t)err;
    return index < GFS_COUNT(entries) ? &entries[index] : &entries[S3_InternalError];
}

const char *s3_err_code(enum s3_err err)
{
    return entry_of(err)->code;
}

int s3_err_status(enum s3_err err)
{
    return entry_of(err)->status;
}

const char *s3_err_message(enum s3_err err)
{
    return entry_of(err)->message;
}
