/* Errors of the services below as S3 names them. */
#include "gateway/s3.h"

enum s3_err s3_err_from_gfs(enum gfs_err err, enum meta_missing what_missing)
{
    switch (err) {
    case GFS_OK:
        return S3_OK;
    case GFS_NOT_FOUND:
        return what_missing == META_MISSING_BUCKET   ? S3_NoSuchBucket
               : what_missing == META_MISSING_UPLOAD ? S3_NoSuchUpload
                                                     : S3_NoSuchKey;
    case GFS_EXISTS:
        return S3_BucketAlreadyOwnedByYou;
    case GFS_PRECONDITION:
        return S3_PreconditionFailed;
    case GFS_CONFLICT:
        return S3_OperationAborted;
    case GFS_NOT_EMPTY:
        return S3_BucketNotEmpty;
    case GFS_RANGE:
        return S3_InvalidRange;
    case GFS_INVALID:
        return S3_InvalidArgument;
    case GFS_DIGEST:
        return S3_BadDigest;
    case GFS_DENIED:
        return S3_AccessDenied;
    case GFS_TOO_BIG:
        return S3_EntityTooLarge;
    case GFS_BUSY:
    case GFS_AGAIN:
        return S3_SlowDown;
    case GFS_NO_SPACE:
        return S3_StorageFull;
    case GFS_UNSUPPORTED:
        return S3_NotImplemented;
    case GFS_TIMEOUT:
    case GFS_UNREACHABLE:
    case GFS_STOPPED:
    case GFS_CANCELLED:
        return S3_ServiceUnavailable;
    case GFS_END:
    case GFS_IO:
    case GFS_CORRUPT:
    case GFS_PROTOCOL:
        break;
    }
    return S3_InternalError;
}
