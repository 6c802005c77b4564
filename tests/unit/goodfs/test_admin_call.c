#include "goodfs/admin_call.h"

#include <criterion/criterion.h>

static struct admin_call call;
static struct gfs_arena arena;
static struct gfs_json *document;

static void forget(void)
{
    gfs_json_free(document);
    document = NULL;
    gfs_arena_fini(&arena);
}

TestSuite(admin_call, .fini = forget);

static enum gfs_err check(const char *query, const char *body)
{
    struct admin_route route = {.query = "verify,after", .members = "path,rate"};
    forget();
    gfs_arena_init(&arena, 64 * 1024);
    call = (struct admin_call){.query = gfs_slice_str(query), .arena = &arena};
    if (body != NULL) {
        cr_assert_eq(gfs_json_parse(gfs_slice_str(body), &document, NULL), GFS_OK);
        call.body = document;
    }
    return admin_call_check(&route, &call);
}

Test(admin_call, unknown_and_repeated_parameters_and_members_are_refused)
{
    cr_assert_eq(check("verify=1&after=2", "{\"path\":\"a\"}"), GFS_OK);
    cr_assert_eq(check("", "{}"), GFS_OK);
    cr_assert_eq(check("&verify&", NULL), GFS_OK);
    cr_assert_eq(check("verify=1&verify=1", NULL), GFS_INVALID);
    cr_assert_eq(check("veri=1", NULL), GFS_INVALID);
    cr_assert_eq(check("verify,after=1", NULL), GFS_INVALID);
    cr_assert_eq(check("=1", NULL), GFS_INVALID);
    cr_assert_eq(check("", "{\"path\":\"a\",\"pat\":1}"), GFS_INVALID);
    cr_assert_eq(check("", "{\"\":1}"), GFS_INVALID);
}

Test(admin_call, values_are_checked_for_type_and_bounds)
{
    uint64_t number = 7;
    const char *text = NULL;
    const bool *flag = NULL;
    cr_assert_eq(check("after=5", "{\"path\":\"disk\",\"rate\":12}"), GFS_OK);
    cr_assert_eq(admin_call_query(&call, "after", 5, &number), GFS_OK);
    cr_assert_eq(number, 5u);
    cr_assert_eq(admin_call_query(&call, "verify", 1, &number), GFS_OK);
    cr_assert_eq(number, 5u, "absent: left alone");
    cr_assert_eq(admin_call_query(&call, "after", 4, &number), GFS_INVALID);
    cr_assert_eq(admin_call_text(&call, "path", 4, &text), GFS_OK);
    cr_assert_str_eq(text, "disk");
    cr_assert_eq(admin_call_text(&call, "path", 3, &text), GFS_INVALID);
    cr_assert_eq(admin_call_text(&call, "rate", 3, &text), GFS_INVALID);
    cr_assert_eq(admin_call_u64(&call, "rate", &number), GFS_OK);
    cr_assert_eq(number, 12u);
    cr_assert_eq(admin_call_u64(&call, "path", &number), GFS_INVALID);
    cr_assert_eq(admin_call_bool(&call, "rate", &flag), GFS_INVALID);
    cr_assert_eq(check("after=x", "{\"rate\":-1,\"path\":true}"), GFS_OK);
    cr_assert_eq(admin_call_query(&call, "after", 9, &number), GFS_INVALID);
    cr_assert_eq(admin_call_u64(&call, "rate", &number), GFS_INVALID);
    cr_assert_eq(admin_call_bool(&call, "path", &flag), GFS_OK);
    cr_assert(*flag);
}
