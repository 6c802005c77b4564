/* Input: a byte for the splitting, a line for the Content-Type, the body. Any split of the body,
 * and any sink, must give the same fields, file and end. */
#include "fuzz.h"
#include "gateway/form_data.h"
#include "libgoodfs/buf.h"
#include "libgoodfs/mem.h"

struct outcome {
    struct form_data *form;
    struct gfs_buf bytes;
    enum s3_err err;
    uint64_t sink_state; /* 0: the sink takes all */
};

static size_t sink(void *arg, const char *ptr, size_t len)
{
    struct outcome *outcome = arg;
    size_t taken = len;
    FUZZ_CHECK(form_data_has_file(outcome->form));
    if (outcome->sink_state != 0) {
        size_t wanted = fuzz_step(&outcome->sink_state) - 1;
        taken = GFS_MIN(len, wanted);
    }
    gfs_buf_add(&outcome->bytes, ptr, taken);
    return taken;
}

static bool run(struct gfs_slice type, struct gfs_slice body, uint64_t step_state,
                struct outcome *ret)
{
    const char *message = NULL;
    size_t done = 0;
    if (form_data_new(type, &ret->form, &message) != S3_OK) {
        return false;
    }
    gfs_buf_init(&ret->bytes, 1 << 20);
    ret->err = S3_OK;
    ret->sink_state = step_state;
    while (done < body.len && ret->err == S3_OK) {
        size_t wanted = step_state == 0 ? body.len : fuzz_step(&step_state);
        size_t taken = 0, len = GFS_MIN(wanted, body.len - done);
        ret->err = form_data_feed(ret->form, body.ptr + done, len, sink, ret, &taken, &message);
        FUZZ_CHECK(taken <= len);
        done += taken;
    }
    enum s3_err end = form_data_end(ret->form, &message);
    FUZZ_CHECK(ret->err == S3_OK || ret->err == end);
    ret->err = end;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole, split;
    if (size < 1) {
        return 0;
    }
    struct gfs_slice rest = gfs_slice_of(data + 1, size - 1);
    struct gfs_slice type = fuzz_line(&rest);
    if (!run(type, rest, 0, &whole)) {
        return 0;
    }
    FUZZ_CHECK(run(type, rest, (uint64_t)data[0] + 1, &split));
    FUZZ_CHECK(whole.err == split.err);
    FUZZ_CHECK(gfs_slice_eq(gfs_buf_slice(&whole.bytes), gfs_buf_slice(&split.bytes)));
    size_t count = form_data_field_count(whole.form);
    FUZZ_CHECK(count == form_data_field_count(split.form));
    for (size_t i = 0; i < count; i++) {
        const struct form_data_field *a = &form_data_fields(whole.form)[i];
        const struct form_data_field *b = &form_data_fields(split.form)[i];
        FUZZ_CHECK(a->name.len != 0 && gfs_slice_eq(a->name, b->name));
        FUZZ_CHECK(gfs_slice_eq(a->value, b->value));
    }
    gfs_buf_fini(&whole.bytes);
    gfs_buf_fini(&split.bytes);
    form_data_free(whole.form);
    form_data_free(split.form);
    return 0;
}
