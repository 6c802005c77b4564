#include "gateway/s3_conditions.h"

#include <criterion/criterion.h>

static enum s3_err range_of(const char *header, uint64_t size, struct s3_range *ret)
{
    return s3_range_parse(gfs_slice_str(header), size, ret);
}

Test(s3_conditions, a_range_is_cut_at_the_end_of_the_object)
{
    struct s3_range range;
    cr_assert_eq(range_of("bytes=2-1000", 10, &range), S3_OK);
    cr_assert(range.is_partial);
    cr_assert_eq(range.start, 2u);
    cr_assert_eq(range.len, 8u);
}

Test(s3_conditions, open_and_suffix_ranges_count_from_the_right_end)
{
    struct s3_range range;
    cr_assert_eq(range_of("bytes=7-", 10, &range), S3_OK);
    cr_assert_eq(range.start, 7u);
    cr_assert_eq(range.len, 3u);
    cr_assert_eq(range_of("bytes=-3", 10, &range), S3_OK);
    cr_assert_eq(range.start, 7u);
    cr_assert_eq(range.len, 3u);
    cr_assert_eq(range_of("bytes=-99", 10, &range), S3_OK);
    cr_assert_eq(range.start, 0u);
    cr_assert_eq(range.len, 10u);
}

Test(s3_conditions, what_cannot_be_satisfied_is_an_error)
{
    struct s3_range range;
    cr_assert_eq(range_of("bytes=10-", 10, &range), S3_InvalidRange);
    cr_assert_eq(range_of("bytes=10-12", 10, &range), S3_InvalidRange);
    cr_assert_eq(range_of("bytes=-0", 10, &range), S3_InvalidRange);
    cr_assert_eq(range_of("bytes=0-0", 0, &range), S3_InvalidRange);
    cr_assert_eq(range_of("bytes=0-", 0, &range), S3_InvalidRange);
    cr_assert_eq(range_of("bytes=-1", 0, &range), S3_InvalidRange);
    cr_assert_eq(range_of("bytes=99999999999999999999-", 10, &range), S3_InvalidRange);
}

Test(s3_conditions, a_position_past_64_bits_is_past_the_end)
{
    struct s3_range range;
    cr_assert_eq(range_of("bytes=3-99999999999999999999", 10, &range), S3_OK);
    cr_assert_eq(range.len, 7u);
    cr_assert_eq(range_of("bytes=-99999999999999999999", 10, &range), S3_OK);
    cr_assert_eq(range.len, 10u);
}

Test(s3_conditions, malformed_and_multiple_ranges_mean_the_whole_object)
{
    static const char *const headers[] = {"",          "bytes",      "bytes=",    "bytes=-",
                                          "bytes=a-b", "bytes=5-2",  "items=0-1", "bytes=0-1,3-4",
                                          "bytes=1",   "bytes=+1-2", "bytes= 1-2"};
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct s3_range range;
        cr_assert_eq(range_of(headers[i], 10, &range), S3_OK, "%s", headers[i]);
        cr_assert(!range.is_partial, "%s", headers[i]);
        cr_assert_eq(range.len, 10u, "%s", headers[i]);
    }
}

Test(s3_conditions, a_copy_range_needs_both_ends_inside_the_source)
{
    struct s3_range range;
    cr_assert_eq(s3_copy_range_parse(gfs_slice_str("bytes=3-5"), 10, &range), S3_OK);
    cr_assert_eq(range.start, 3u);
    cr_assert_eq(range.len, 3u);
    cr_assert_eq(s3_copy_range_parse(gfs_slice_str("bytes=3-10"), 10, &range), S3_InvalidRange);
    cr_assert_eq(s3_copy_range_parse(gfs_slice_str("bytes=3-"), 10, &range), S3_InvalidArgument);
    cr_assert_eq(s3_copy_range_parse(gfs_slice_str("bytes=-3"), 10, &range), S3_InvalidArgument);
    cr_assert_eq(s3_copy_range_parse(gfs_slice_str("3-5"), 10, &range), S3_InvalidArgument);
    cr_assert_eq(s3_copy_range_parse(gfs_slice_str("bytes=5-3"), 10, &range), S3_InvalidArgument);
    cr_assert_eq(s3_copy_range_parse((struct gfs_slice){0}, 10, &range), S3_OK);
    cr_assert_eq(range.len, 10u);
}
