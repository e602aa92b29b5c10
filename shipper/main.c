#include "shipper/shipper.h"

int
main(int argc, char **argv)
{
    static const struct stage_def def = {
        .name = "shipper",
        .is_indexed = true,
        .about = "Delivers records to a Kinesis data stream, in order per partition key.",
        .run = shipper_run,
    };

    return stage_main(argc, argv, &def);
}
