#include "shipper/kinesis/hash_key.h"

bool
hash_key_parse(const char *text, uint8_t out[16])
{
    memset(out, 0, 16);
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        unsigned carry = (unsigned)(*text - '0');

        if (*text < '0' || *text > '9')
            return false;
        for (int i = 15; i >= 0; i--) {
            carry += out[i] * 10U;
            out[i] = (uint8_t)carry;
            carry >>= 8;
        }
        if (carry != 0)
            return false;
    }
    return true;
}
