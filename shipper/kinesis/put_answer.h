/*
 * put_answer - reads the body of a PutRecords answer, in one pass and without a tree.
 *
 * {"FailedRecordCount":n,"Records":[{"SequenceNumber":"..","ShardId":".."} |
 * {"ErrorCode":"..","ErrorMessage":".."}, ...]}; null counts as absent, unknown members are
 * skipped.  A record is stored exactly when it has a sequence number: FailedRecordCount is not
 * believed.
 */
#ifndef WEIR_KINESIS_PUT_ANSWER_H
#define WEIR_KINESIS_PUT_ANSWER_H

#include "shipper/kinesis/client.h"

/*
 * Fills results[0..n) from exactly n entries; texts point into body.  -1 with ERR_PROTOCOL for
 * anything that is not an answer to a request of n records.
 */
int put_answer_read(const char *body, size_t size, struct target_result *results, size_t n,
                    struct err *e);

#endif
