/* S3 errors: code, HTTP status, default message. */
#pragma once

#define S3_ERRORS(X)                                                                               \
    X(AccessDenied, 403, "Access Denied.")                                                         \
    X(AuthorizationHeaderMalformed, 400,                                                           \
      "The authorization header that you provided is not valid.")                                  \
    X(AuthorizationQueryParametersError, 400, "The authorization query parameters are not valid.") \
    X(BadDigest, 400,                                                                              \
      "The Content-MD5 or checksum value that you specified did not match what the server "        \
      "received.")                                                                                 \
    X(BucketAlreadyExists, 409, "The requested bucket name is not available.")                     \
    X(BucketAlreadyOwnedByYou, 409,                                                                \
      "The bucket that you tried to create already exists, and you own it.")                       \
    X(BucketNotEmpty, 409, "The bucket that you tried to delete is not empty.")                    \
    X(ConditionalRequestConflict, 409,                                                             \
      "A conflicting conditional operation is currently in progress against this resource. Try "   \
      "again.")                                                                                    \
    X(EntityTooLarge, 400, "Your proposed upload exceeds the maximum allowed object size.")        \
    X(EntityTooSmall, 400,                                                                         \
      "Your proposed upload is smaller than the minimum allowed object size.")                     \
    X(ExpiredToken, 400, "The provided token has expired.")                                        \
    X(IllegalLocationConstraintException, 400,                                                     \
      "The specified location constraint is not valid for this endpoint.")                         \
    X(IncompleteBody, 400,                                                                         \
      "You did not provide the number of bytes specified by the Content-Length HTTP header.")      \
    X(IncorrectNumberOfFilesInPostRequest, 400,                                                    \
      "POST requires exactly one file upload per request.")                                        \
    X(InternalError, 500, "An internal error occurred. Try again.")                                \
    X(InvalidAccessKeyId, 403,                                                                     \
      "The access key ID that you provided does not exist in our records.")                        \
    X(InvalidArgument, 400, "Invalid Argument.")                                                   \
    X(InvalidBucketName, 400, "The specified bucket is not valid.")                                \
    X(InvalidDigest, 400, "The Content-MD5 or checksum value that you specified is not valid.")    \
    X(InvalidLocationConstraint, 400, "The specified location constraint is not valid.")           \
    X(InvalidPart, 400,                                                                            \
      "One or more of the specified parts could not be found. The part might not have been "       \
      "uploaded, or the specified entity tag might not have matched the part's entity tag.")       \
    X(InvalidPartOrder, 400,                                                                       \
      "The list of parts was not in ascending order. The parts list must be specified in order "   \
      "by part number.")                                                                           \
    X(InvalidPartNumber, 416, "The requested partnumber is not satisfiable.")                      \
    X(InvalidPolicyDocument, 400,                                                                  \
      "The content of the form does not meet the conditions specified in the policy document.")    \
    X(InvalidRange, 416, "The requested range is not satisfiable.")                                \
    X(InvalidRequest, 400, "Invalid Request.")                                                     \
    X(InvalidStorageClass, 400, "The storage class that you specified is not valid.")              \
    X(InvalidToken, 400, "The provided token is malformed or otherwise not valid.")                \
    X(InvalidURI, 400, "The specified URI couldn't be parsed.")                                    \
    X(KeyTooLongError, 400, "Your key is too long.")                                               \
    X(MalformedPOSTRequest, 400,                                                                   \
      "The body of your POST request is not well-formed multipart/form-data.")                     \
    X(MalformedXML, 400,                                                                           \
      "The XML that you provided was not well formed or did not validate against our published "   \
      "schema.")                                                                                   \
    X(MaxMessageLengthExceeded, 400, "Your request was too large.")                                \
    X(MaxPostPreDataLengthExceededError, 400,                                                      \
      "Your POST request fields preceding the upload file were too large.")                        \
    X(MetadataTooLarge, 400, "Your metadata headers exceed the maximum allowed metadata size.")    \
    X(MethodNotAllowed, 405, "The specified method is not allowed against this resource.")         \
    X(MissingContentLength, 411, "You must provide the Content-Length HTTP header.")               \
    X(MissingRequestBodyError, 400, "Request Body is empty.")                                      \
    X(MissingSecurityHeader, 400, "Your request is missing a required header.")                    \
    X(NoSuchBucket, 404, "The specified bucket does not exist.")                                   \
    X(NoSuchBucketPolicy, 404, "The bucket policy does not exist.")                                \
    X(NoSuchCORSConfiguration, 404, "The CORS configuration does not exist.")                      \
    X(NoSuchConfiguration, 404, "The specified configuration does not exist.")                     \
    X(NoSuchKey, 404, "The specified key does not exist.")                                         \
    X(NoSuchLifecycleConfiguration, 404, "The lifecycle configuration does not exist.")            \
    X(NoSuchObjectLockConfiguration, 404,                                                          \
      "The specified object does not have an ObjectLock configuration.")                           \
    X(NoSuchPublicAccessBlockConfiguration, 404,                                                   \
      "The public access block configuration was not found.")                                      \
    X(NoSuchTagSet, 404, "The TagSet does not exist.")                                             \
    X(NoSuchUpload, 404,                                                                           \
      "The specified multipart upload does not exist. The upload ID might be invalid, or the "     \
      "multipart upload might have been aborted or completed.")                                    \
    X(NoSuchVersion, 404,                                                                          \
      "The version ID specified in the request does not match an existing version.")               \
    X(NoSuchWebsiteConfiguration, 404,                                                             \
      "The specified bucket does not have a website configuration.")                               \
    X(NotImplemented, 501, "A header or operation that you specified is not implemented.")         \
    X(NotModified, 304, "Not Modified")                                                            \
    X(ObjectLockConfigurationNotFoundError, 404,                                                   \
      "Object Lock configuration does not exist for this bucket.")                                 \
    X(OperationAborted, 409,                                                                       \
      "A conflicting conditional operation is currently in progress against this resource. Try "   \
      "again.")                                                                                    \
    X(OwnershipControlsNotFoundError, 404, "The bucket ownership controls were not found.")        \
    X(PreconditionFailed, 412,                                                                     \
      "At least one of the preconditions that you specified did not hold.")                        \
    X(ReplicationConfigurationNotFoundError, 404, "The replication configuration was not found.")  \
    X(RequestHeaderSectionTooLarge, 431,                                                           \
      "Your request header section exceeds the maximum allowed size.")                             \
    X(RequestTimeout, 400,                                                                         \
      "Your socket connection to the server was not read from or written to within the timeout "   \
      "period.")                                                                                   \
    X(RequestTimeTooSkewed, 403,                                                                   \
      "The difference between the request time and the server's time is too large.")               \
    X(ServerSideEncryptionConfigurationNotFoundError, 404,                                         \
      "The server side encryption configuration was not found.")                                   \
    X(ServiceUnavailable, 503, "Service is unable to handle request.")                             \
    X(SignatureDoesNotMatch, 403,                                                                  \
      "The request signature that the server calculated does not match the signature that you "    \
      "provided. Check your secret access key and signing method.")                                \
    X(SlowDown, 503, "Reduce your request rate.")                                                  \
    X(StorageFull, 507, "The storage is full: delete objects or add disks.")                       \
    X(TooManyBuckets, 400, "You have attempted to create more buckets than are allowed.")          \
    X(TooManyParts, 400, "The number of parts exceeds the maximum.")                               \
    X(UnexpectedContent, 400, "This request contains unsupported content.")                        \
    X(UnresolvableGrantByEmailAddress, 400,                                                        \
      "The email address that you provided does not match any account on record.")                 \
    X(XAmzContentChecksumMismatch, 400,                                                            \
      "The provided 'x-amz-checksum' header does not match what was computed.")                    \
    X(XAmzContentSHA256Mismatch, 400,                                                              \
      "The provided 'x-amz-content-sha256' header does not match what was computed.")

enum s3_err {
    S3_OK = 0,
#define X(name, status, text) S3_##name,
    S3_ERRORS(X)
#undef X
};

const char *s3_err_code(enum s3_err err);    /* "NoSuchKey" */
int s3_err_status(enum s3_err err);          /* 404 */
const char *s3_err_message(enum s3_err err); /* default text */
