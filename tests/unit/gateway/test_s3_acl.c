#include "gateway/s3_acl.h"

#include "s3_fixture.h"

static enum s3_err check(const char *headers, const char *body)
{
    struct fixture *f = fixture_new(headers);
    enum s3_err err = s3_acl_check(&f->http, gfs_slice_str(body), &f->r.arena);
    fixture_free(f);
    return err;
}

Test(s3_acl, what_a_get_shows_may_be_put_back)
{
    struct gfs_buf xml;
    gfs_buf_init(&xml, 4096);
    s3_acl_xml(&xml);
    cr_assert(!xml.is_full);
    cr_assert_eq(check("", xml.ptr), S3_OK);
    gfs_buf_fini(&xml);
}

Test(s3_acl, private_is_what_every_bucket_is)
{
    cr_assert_eq(check("x-amz-acl:private", ""), S3_OK);
    cr_assert_eq(check("x-amz-acl:bucket-owner-full-control", ""), S3_OK);
}

Test(s3_acl, anything_more_is_not_implemented)
{
    static const char open[] =
        "<AccessControlPolicy><AccessControlList><Grant><Grantee><URI>http://acs.amazonaws.com/"
        "groups/global/AllUsers</URI></Grantee><Permission>READ</Permission></Grant>"
        "</AccessControlList></AccessControlPolicy>";
    cr_assert_eq(check("x-amz-acl:public-read", ""), S3_NotImplemented);
    cr_assert_eq(check("x-amz-grant-read:id=1", ""), S3_NotImplemented);
    cr_assert_eq(check("x-amz-acl:private\nx-amz-grant-read:id=1", ""), S3_NotImplemented);
    cr_assert_eq(check("", open), S3_NotImplemented);
    cr_assert_eq(check("", "<AccessControlPolicy><AccessControlList/></AccessControlPolicy>"),
                 S3_NotImplemented);
}

Test(s3_acl, asking_for_nothing_or_twice_is_an_error)
{
    cr_assert_eq(check("", ""), S3_MissingSecurityHeader);
    cr_assert_eq(check("", "<AccessControlPolicy/>"), S3_MalformedXML);
    cr_assert_eq(check("x-amz-acl:private", "<AccessControlPolicy/>"), S3_UnexpectedContent);
    cr_assert_eq(check("",
                       "<AccessControlPolicy><Owner><ID>another</ID></Owner><AccessControlList/>"
                       "</AccessControlPolicy>"),
                 S3_AccessDenied);
}
