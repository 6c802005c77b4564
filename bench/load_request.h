/* The requests of a run: heads with their signatures, and the one payload they share.
 * Immutable after load_requests_new, so all threads read it; load_requests_get builds into the
 * caller's buffer. */
#pragma once

#include "bench/load_options.h"
#include "libgoodfs/buf.h"
#include "libgoodfs/slice.h"

struct load_requests;

/* Builds and signs all heads unless options->signs_each. The process ends when one cannot be
 * built. options must outlive it. */
struct load_requests *load_requests_new(const struct load_options *options);
void load_requests_free(struct load_requests *requests);

/* Plain data; borrows from the requests or from the scratch buffer. */
struct load_request {
    struct gfs_slice head, body;
};

/* index < key_count. scratch holds the head while it is sent, when it is signed now. */
void load_requests_get(const struct load_requests *requests, uint64_t index,
                       struct gfs_buf *scratch, struct load_request *ret);

/* CRC32C of the payload that a GET must bring back. */
uint32_t load_requests_payload_crc(const struct load_requests *requests);
