# weir - one non-recursive Makefile.
#
#   make            release build of every program into build/release
#   make demo       fresh machine: installs, builds, runs the invoices story end to end
#   make test       fresh machine: installs, builds, runs the whole test suite
#   make lint       formatting, clang-tidy, cppcheck, headers, house rules
#   make bench      benchmarks (ONLY=prefix for some)
#   make debug asan ubsan tsan     the same programs, instrumented, in build/<mode>
#   make V=1        shows the commands

MODE    ?= release
V       ?= 0
CC      ?= gcc
VERSION := 0.1.0

ifeq ($(origin CC),default)
CC := gcc
endif

Q := $(if $(filter 1,$(V)),,@)
B := build/$(MODE)

# ---- flags -----------------------------------------------------------------

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
        -Wmissing-prototypes -Wvla -Wcast-qual -Wformat=2 -Wundef -Wpointer-arith \
        -Wwrite-strings -Wswitch-enum -Walloca -Werror
ifneq (,$(findstring clang,$(CC)))
WARN += -Wcast-align
else
WARN += -Wcast-align=strict
endif

PKGS      := jansson libcurl openssl liburing sqlite3 libmsgpackc
# The fallbacks keep `make -n` and `make deps` usable before the packages are there.
PKG_CFLAGS := $(shell pkg-config --cflags jansson libcurl openssl sqlite3 2>/dev/null)

HARDEN := -fstack-protector-strong -fPIE -fno-omit-frame-pointer
OPT.release := -O2 -g -D_FORTIFY_SOURCE=2
OPT.debug   := -O0 -g3
OPT.test    := -O1 -g -DWEIR_FAULTS
OPT.asan    := -O1 -g -DWEIR_FAULTS -fsanitize=address,undefined -fno-sanitize-recover=undefined
OPT.ubsan   := -O1 -g -DWEIR_FAULTS -fsanitize=undefined -fno-sanitize-recover=undefined
OPT.tsan    := -O1 -g -DWEIR_FAULTS -fsanitize=thread
ifeq ($(OPT.$(MODE)),)
$(error MODE is '$(MODE)'; it is one of release debug test asan ubsan tsan)
endif

CPPFLAGS_ALL := -I. -D_GNU_SOURCE -DWEIR_VERSION='"$(VERSION)"' -include common/poison.h $(PKG_CFLAGS)
CFLAGS_ALL   := -std=c17 $(OPT.$(MODE)) $(HARDEN) $(WARN) $(CFLAGS)
LDFLAGS_ALL  := -pie -Wl,-z,relro,-z,now $(filter -fsanitize%,$(OPT.$(MODE))) $(LDFLAGS)

# ---- programs --------------------------------------------------------------
# Every folder is an archive of all its files but main.c; a program is its main.c
# and the archives it may use.  The order is the link order.

src = $(filter-out %/main.c,$(wildcard $(1)))
obj = $(patsubst %.c,$(B)/%.o,$(1))

SRC.common   := $(call src,common/*.c)
SRC.capture  := $(call src,capture/*.c capture/*/*.c)
SRC.encoder  := $(call src,encoder/*.c)
SRC.shipper  := $(call src,shipper/*.c shipper/*/*.c)
SRC.weirctl  := $(call src,deploy/weirctl/*.c)
SRC.mssqld   := $(call src,tests/mssqld/*.c tests/mssqld/*/*.c)
SRC.kinesisd := $(call src,tests/kinesisd/*.c)
PARTS := common capture encoder shipper weirctl mssqld kinesisd

LIBS.common   := -ljansson -lmsgpackc -lcrypto -lm -lpthread
LIBS.capture  := -lsybdb
LIBS.encoder  :=
LIBS.shipper  := -lcurl -lssl
LIBS.weirctl  :=
LIBS.mssqld   := -lsqlite3 -lssl
LIBS.kinesisd := -lssl -lz

PROGRAMS := weir-capture weir-encoder weir-shipper weirctl mssqld kinesisd
MAIN.weir-capture := capture/main.c
USES.weir-capture := capture common
MAIN.weir-encoder := encoder/main.c
USES.weir-encoder := encoder common
MAIN.weir-shipper := shipper/main.c
USES.weir-shipper := shipper common
MAIN.weirctl      := deploy/weirctl/main.c
USES.weirctl      := weirctl capture shipper common
MAIN.mssqld       := tests/mssqld/main.c
USES.mssqld       := mssqld common
MAIN.kinesisd     := tests/kinesisd/main.c
USES.kinesisd     := kinesisd common

archives = $(foreach p,$(1),$(B)/lib$(p).a)
libs     = $(foreach p,$(1),$(LIBS.$(p)))

# A program without its main.c yet is left out, so that the parts can grow apart.
HAVE := $(foreach p,$(PROGRAMS),$(if $(wildcard $(MAIN.$(p))),$(p)))

.DEFAULT_GOAL := all
.PHONY: all
all: $(addprefix $(B)/,$(HAVE))

.PHONY: release debug asan ubsan tsan
release debug asan ubsan tsan:
	$(Q)$(MAKE) --no-print-directory MODE=$@ all

$(B)/%.o: %.c
	@mkdir -p $(@D)
	@$(if $(Q),echo "  CC   $<",:)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

define PART_template
$(B)/lib$(1).a: $(call obj,$(SRC.$(1)))
	@mkdir -p $$(@D)
	$(Q)rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach p,$(PARTS),$(eval $(call PART_template,$(p))))

define PROGRAM_template
$(B)/$(1): $(call obj,$(MAIN.$(1))) $(call archives,$(USES.$(1)))
	@$(if $(Q),echo "  LINK $$@",:)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $$@ $$^ $(call libs,$(USES.$(1)))
endef
$(foreach p,$(PROGRAMS),$(eval $(call PROGRAM_template,$(p))))

# ---- C tests and benches -----------------------------------------------------
# tests/unit/<name>_test.c, tests/crash/<name>.c, tests/bench/<name>.c, tests/fuzz/<name>_fuzz.c
# each become one program.  A line "/* uses: capture */" near the top of the file names the
# parts it links besides common; "/* wrap: fn fn */" adds -Wl,--wrap for those calls.

TEST_SRC := $(wildcard tests/unit/*_test.c tests/crash/*.c tests/bench/*.c)
TEST_BIN := $(patsubst %.c,$(B)/%,$(TEST_SRC))
uses_of   = $(shell sed -n 's|^/\* uses: \(.*\) \*/$$|\1|p' $(1)) common
wraps_of  = $(foreach f,$(shell sed -n 's|^/\* wrap: \(.*\) \*/$$|\1|p' $(1)),-Wl,--wrap=$(f))

define TEST_template
$(B)/$(1): $(B)/$(1).o $(call archives,$(call uses_of,$(1).c))
	@$(if $(Q),echo "  LINK $$@",:)
	$(Q)$(CC) $(LDFLAGS_ALL) $(call wraps_of,$(1).c) -o $$@ $$^ \
	    $(call libs,$(call uses_of,$(1).c)) -lcheck -lsubunit -lrt -lm -lpthread
endef
$(foreach t,$(patsubst %.c,%,$(TEST_SRC)),$(eval $(call TEST_template,$(t))))

.PHONY: tests-build
tests-build: all $(TEST_BIN)

-include tests/targets.mk

# ---- housekeeping ------------------------------------------------------------

.PHONY: clean install
clean:
	rm -rf build

PREFIX ?= /usr/local
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/weir
	install -m 755 $(addprefix $(B)/,weir-capture weir-encoder weir-shipper weirctl) \
	    $(DESTDIR)$(PREFIX)/bin
	install -m 644 deploy/supervisor/weir.conf deploy/demo/invoices.json $(DESTDIR)$(PREFIX)/share/weir

.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
