#include "capture/capture.h"
#include "common/stage.h"

int
main(int argc, char **argv)
{
    static const struct stage_def def = {
        .name = "capture",
        .is_indexed = false,
        .about = "Reads the source database's tables and change log into the change rings.",
        .run = capture_run,
    };

    return stage_main(argc, argv, &def);
}
