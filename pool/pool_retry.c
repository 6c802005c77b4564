#include "pool/pool_retry.h"

#include "libgoodfs/mem.h"

#define SECOND_NS 1000000000LL

void pool_retry_leave(struct pool_retry *retry, int64_t now_ns)
{
    if (retry->away_s != 0) {
        retry->due_ns = now_ns + retry->away_s * SECOND_NS;
    }
}

void pool_retry_fail(struct pool_retry *retry, int64_t now_ns)
{
    retry->away_s = GFS_MAX(retry->away_s, (int64_t)POOL_RETRY_OWN_ERRORS_S);
    pool_retry_leave(retry, now_ns);
}

void pool_retry_refuse(struct pool_retry *retry, int64_t now_ns)
{
    retry->refused_s = retry->refused_s == 0 ? 1 : retry->refused_s * 2;
    retry->refused_s = GFS_MIN(retry->refused_s, (int64_t)POOL_RETRY_REFUSALS_MAX_S);
    retry->due_ns = now_ns + retry->refused_s * SECOND_NS;
}

void pool_retry_return(struct pool_retry *retry, int64_t now_ns)
{
    retry->returned_ns = now_ns;
    retry->refused_s = 0;
    retry->away_s = GFS_MIN(retry->away_s * 2 + 1, (int64_t)POOL_RETRY_RETURNS_MAX_S);
}

void pool_retry_stay(struct pool_retry *retry, int64_t now_ns)
{
    if (now_ns - retry->returned_ns > POOL_RETRY_RETURNS_MAX_S * SECOND_NS) {
        retry->away_s = 0;
    }
}

void pool_retry_limit(struct pool_retry *retry, int64_t now_ns, int64_t limit_s)
{
    retry->due_ns = GFS_MIN(retry->due_ns, now_ns + limit_s * SECOND_NS);
}

bool pool_retry_is_due(const struct pool_retry *retry, int64_t now_ns)
{
    return now_ns >= retry->due_ns;
}
