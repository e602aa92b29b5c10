/*
 * put_body - writes the body of a PutRecords request.
 *
 * {"StreamARN":"...","Records":[{"Data":"<base64>","PartitionKey":"..."},...]}, written once,
 * straight into the request's buffer: the records are not copied before.
 */
#ifndef WEIR_KINESIS_PUT_BODY_H
#define WEIR_KINESIS_PUT_BODY_H

#include "common/aws/http.h"
#include "shipper/kinesis/client.h"

/* Appends the body to b.  stream_arn needs no escaping (aws_stream_arn_parse saw to it). */
int put_body_write(struct http_buffer *b, const char *stream_arn,
                   const struct target_entry *entries, size_t n, bool is_dry_run, struct err *e);

#endif
