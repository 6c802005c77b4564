/* The admin address, asked as an operator does. */
#include "goodfs/admin.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "ctl/client.h"
#include "libgoodfs/clock.h"
#include "libgoodfs/cond.h"
#include "libgoodfs/log.h"
#include "libgoodfs/mem.h"

enum { HUNG_MAX = 8 /* of admin.c */, AWAIT_S = 30, BODY_MAX = 64 * 1024 };

/* Metadata that hangs until it is let through, and knows no bucket. */
struct gate {
    struct meta_service base;
    pthread_mutex_t lock;
    struct gfs_cond changed;
    bool is_open;
};

static enum gfs_err find_bucket(struct meta_service *meta, struct gfs_slice name,
                                struct meta_bucket *ret)
{
    struct gate *gate = GFS_CONTAINER_OF(meta, struct gate, base);
    (void)name;
    (void)ret;
    (void)pthread_mutex_lock(&gate->lock);
    while (!gate->is_open) {
        gfs_cond_wait(&gate->changed, &gate->lock);
    }
    (void)pthread_mutex_unlock(&gate->lock);
    return GFS_NOT_FOUND;
}

static const struct meta_service_ops gate_ops = {.bucket = find_bucket};

struct rig {
    struct gate gate;
    struct admin *admin;
    struct client *client;
    char address[32];
    struct gfs_buf body; /* of the last answer */
};

static void init(struct rig *rig)
{
    static const char *const listen[] = {"127.0.0.1:0", NULL};
    struct gfs_error error = {0};
    *rig = (struct rig){.gate.base.ops = &gate_ops};
    gfs_log_set_level(GFS_LOG_ERROR);
    (void)pthread_mutex_init(&rig->gate.lock, NULL);
    gfs_cond_init(&rig->gate.changed);
    gfs_buf_init(&rig->body, BODY_MAX);
    struct admin_options options = {.listen = listen,
                                    .access_key = "ADMINTESTACCESSKEY",
                                    .secret_key = "a secret of the admin's test",
                                    .call_wait_ms = 20,
                                    .meta = &rig->gate.base};
    cr_assert_eq(admin_start(&options, &rig->admin, &error), GFS_OK, "%s", error.text);
    (void)snprintf(rig->address, sizeof rig->address, "127.0.0.1:%u",
                   (unsigned)http_server_port(admin_http(rig->admin), 0));
    struct client_options client = {.address = rig->address,
                                    .access_key = options.access_key,
                                    .secret_key = options.secret_key,
                                    .limit_s = AWAIT_S};
    rig->client = client_new(&client);
    cr_assert_not_null(rig->client);
}

static void open_gate(struct gate *gate)
{
    (void)pthread_mutex_lock(&gate->lock);
    gate->is_open = true;
    gfs_cond_broadcast(&gate->changed);
    (void)pthread_mutex_unlock(&gate->lock);
}

static void fini(struct rig *rig)
{
    client_free(rig->client);
    cr_expect(admin_stop(rig->admin, AWAIT_S * 1000), "nothing hangs any more");
    gfs_buf_fini(&rig->body);
    gfs_cond_fini(&rig->gate.changed);
    (void)pthread_mutex_destroy(&rig->gate.lock);
}

/* Asks the metadata; the status of the answer. */
static int ask(struct rig *rig)
{
    const struct client_request request = {.method = "GET", .path = "objects/bucket/key"};
    struct gfs_error error = {0};
    int status = 0;
    enum gfs_err err = client_send(rig->client, &request, &status, &rig->body, &error);
    cr_assert_eq(err, GFS_OK, "%s", error.text);
    return status;
}

static bool says(const struct rig *rig, const char *text)
{
    return memmem(rig->body.ptr, rig->body.len, text, strlen(text)) != NULL;
}

Test(admin, calls_that_hung_count_no_more_once_they_came_back)
{
    struct rig rig;
    init(&rig);
    for (unsigned i = 0; i < HUNG_MAX; i++) {
        cr_assert_eq(ask(&rig), 503);
        cr_assert(says(&rig, "given up"));
    }
    cr_assert_eq(ask(&rig), 503);
    cr_assert(says(&rig, "hang in disks already"));
    open_gate(&rig.gate);
    int64_t until_ns = gfs_monotonic_ns() + AWAIT_S * INT64_C(1000000000);
    int status = ask(&rig);
    while (status == 503 && gfs_monotonic_ns() < until_ns) { /* they come back one by one */
        status = ask(&rig);
    }
    cr_expect_eq(status, 404);
    cr_expect(says(&rig, "there is no bucket"));
    fini(&rig);
}
