#include "encoder/encoder.h"

int
main(int argc, char **argv)
{
    static const struct stage_def def = {
        .name = "encoder",
        .is_indexed = true,
        .about = "Turns change events into messages and hands each to the shipper of its key.",
        .run = encoder_run,
    };

    return stage_main(argc, argv, &def);
}
