/* What a request says about who signed it, read from the Authorization header, the query or the
 * fields of a form, and checked for form: nothing here is verified yet. */
#pragma once

#include "gateway/auth.h"
#include "gateway/auth_query.h"
#include "libgoodfs/text.h"

/* Plain data. What the checks share. */
struct auth_context {
    const struct auth_options *options;
    struct gfs_arena *arena;
    struct auth_detail *detail;
};

/* Plain data; borrows from the request or the arena. */
struct auth_claim {
    struct gfs_slice access_key;
    struct gfs_slice date, region, scope; /* scope: "date/region/s3/aws4_request" */
    struct gfs_slice signed_headers;      /* as written: checked to be ascending */
    struct gfs_slice signature;           /* any text */
    char amz_date[GFS_AMZ_DATE_LEN + 1];
    int64_t date_s;    /* Unix time of amz_date */
    int64_t expires_s; /* presigned: seconds after date_s */
};

/* Where a claim was found: decides the code and the first words of a refusal. */
enum auth_place { AUTH_IN_HEADER, AUTH_IN_QUERY, AUTH_IN_FORM };

/* Sets detail->message (in the arena; the default one when that is full) and answers err. */
enum s3_err auth_refuse(const struct auth_context *context, enum s3_err err, const char *format,
                        ...) GFS_PRINTF(3, 4);

/* How many headers of that lower-case name there are; *ret is the first one's value (untouched when
 * there is none). */
uint32_t auth_header(const struct http_request *request, const char *name, struct gfs_slice *ret);

/* "AKID/20261121/us-east-1/s3/aws4_request" into access_key, date, region, scope. */
enum s3_err auth_claim_credential(const struct auth_context *context, enum auth_place place,
                                  struct gfs_slice credential, struct auth_claim *claim);

/* Compares the scope's date with amz_date. */
enum s3_err auth_claim_same_day(const struct auth_context *context, enum auth_place place,
                                const struct auth_claim *claim);

/* The value of Authorization, and x-amz-date or Date. */
enum s3_err auth_claim_from_header(const struct auth_context *context,
                                   const struct http_request *request, struct gfs_slice value,
                                   struct auth_claim *claim);

/* The X-Amz-* parameters. */
enum s3_err auth_claim_from_query(const struct auth_context *context,
                                  const struct auth_query *query, struct auth_claim *claim);
