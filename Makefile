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
SRC.aws      := $(call src,common/aws/*.c)
SRC.capture  := $(call src,capture/*.c capture/*/*.c)
SRC.encoder  := $(call src,encoder/*.c)
SRC.shipper  := $(call src,shipper/*.c shipper/*/*.c)
SRC.weirctl  := $(call src,deploy/weirctl/*.c)
SRC.mssqld   := $(call src,tests/mssqld/*.c tests/mssqld/*/*.c)
SRC.kinesisd := $(call src,tests/kinesisd/*.c)
PARTS := common aws capture encoder shipper weirctl mssqld kinesisd

LIBS.common   := -ljansson -lmsgpackc -lcrypto -lm -lpthread
LIBS.aws      := -lcurl -lssl
LIBS.capture  := -lsybdb
LIBS.encoder  :=
LIBS.shipper  :=
LIBS.weirctl  :=
LIBS.mssqld   := -lsqlite3 -lssl -lgssapi_krb5
LIBS.kinesisd := -lssl -lz

PROGRAMS := weir-capture weir-encoder weir-shipper weirctl mssqld kinesisd
MAIN.weir-capture := capture/main.c
USES.weir-capture := capture aws common
MAIN.weir-encoder := encoder/main.c
USES.weir-encoder := encoder common
MAIN.weir-shipper := shipper/main.c
USES.weir-shipper := shipper aws common
MAIN.weirctl      := deploy/weirctl/main.c
USES.weirctl      := weirctl capture shipper aws common
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

# ---- install, test, check, show ------------------------------------------------

.PHONY: deps test lint fmt bench demo soak fuzz

deps:
	$(Q)bash tests/setup/deps.sh

# Each step is a make of its own: the packages, and so the flags, are there only after deps.
SUB := $(MAKE) --no-print-directory -j2

test: deps
	$(Q)rm -rf build/test-results
	$(Q)$(SUB) all
	$(Q)$(SUB) MODE=test tests-build
	$(Q)$(SUB) MODE=asan units-build
	$(Q)$(SUB) MODE=tsan threads-build
	$(Q)$(SUB) fuzz-build
	$(Q)bash tests/run.sh unit test
	$(Q)bash tests/run.sh unit asan
	$(Q)bash tests/run.sh unit tsan
	$(Q)bash tests/run.sh crash
	$(Q)bash tests/run.sh scripts
	$(Q)bash tests/run.sh fuzz
	$(Q)bash tests/run.sh e2e
	$(Q)bash tests/run.sh sum

.PHONY: units-build threads-build benches-build fuzz-build
units-build: $(patsubst %.c,$(B)/%,$(wildcard tests/unit/*_test.c))
benches-build: $(patsubst %.c,$(B)/%,$(wildcard tests/bench/*.c)) $(B)/tests/crash/feed_records
threads-build: $(patsubst %.c,$(B)/%,$(wildcard tests/unit/*_threads_test.c))

# Fuzzers: libFuzzer, so clang; sources are compiled for them in one go, a minute at most.
FUZZERS := $(patsubst tests/fuzz/%.c,build/fuzz/tests/fuzz/%,$(wildcard tests/fuzz/*_fuzz.c))
fuzz-build: $(FUZZERS)
build/fuzz/tests/fuzz/%: tests/fuzz/%.c $(foreach p,$(PARTS),$(SRC.$(p))) $(wildcard */*.h */*/*.h)
	@mkdir -p $(@D)
	@$(if $(Q),echo "  FUZZ $<",:)
	$(Q)clang-14 $(CPPFLAGS_ALL) -std=c17 -O1 -g -DWEIR_FAULTS \
	    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -o $@ $< \
	    $(SRC.common) $(foreach p,$(call uses_of,$<),$(if $(filter common,$(p)),,$(SRC.$(p)))) \
	    $(call libs,$(call uses_of,$<))

fuzz: deps
	$(Q)$(SUB) fuzz-build
	$(Q)FUZZ_SECONDS=$${FUZZ_SECONDS:-60} bash tests/run.sh fuzz
	$(Q)bash tests/run.sh sum

soak: deps
	$(Q)$(SUB) all
	$(Q)$(SUB) MODE=test tests-build
	$(Q)build/test/tests/crash/ring_crash --deaths 100000
	$(Q)WEIR_SOAK=1 bash tests/run.sh e2e -k "kills or soak"

# ---- benchmarks ----------------------------------------------------------------
bench: deps
	$(Q)$(SUB) all
	$(Q)$(SUB) benches-build
	$(Q)bash tests/bench/run.sh "$(ONLY)"

# ---- demo ----------------------------------------------------------------------
demo: deps
	$(Q)$(SUB) all
	$(Q)build/venv/bin/python deploy/demo/demo.py

# ---- checks ----------------------------------------------------------------------
C_FILES := $(shell git ls-files --cached --others --exclude-standard -- '*.c' 2>/dev/null)
H_FILES := $(shell git ls-files --cached --others --exclude-standard -- '*.h' 2>/dev/null)
TIDY := $(patsubst %.c,build/lint/%.tidy,$(filter-out tests/model/%,$(C_FILES)))

fmt:
	$(Q)clang-format-14 -i $(C_FILES) $(H_FILES)

lint: deps
	$(Q)$(SUB) lint-steps

.PHONY: lint-steps lint-format lint-house lint-cppcheck
lint-steps: lint-format lint-house lint-cppcheck $(TIDY)
	@echo "lint: clean"

lint-format:
	@echo "  LINT format"
	$(Q)clang-format-14 --dry-run -Werror $(C_FILES) $(H_FILES)

lint-house:
	@echo "  LINT house rules"
	$(Q)bash tests/lint.sh

lint-cppcheck:
	@echo "  LINT cppcheck"
	@mkdir -p build/lint/cppcheck
	$(Q)cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
	    --error-exitcode=1 --cppcheck-build-dir=build/lint/cppcheck -I. -DWEIR_VERSION='"x"' \
	    --suppress=missingIncludeSystem -DWEIR_FAULTS --suppress=normalCheckLevelMaxBranches \
	    $(addprefix --suppress=,$(shell sed '/^#/d' tests/setup/cppcheck.txt 2>/dev/null)) \
	    $(filter-out tests/model/%,$(C_FILES))

build/lint/%.tidy: %.c $(H_FILES) .clang-tidy
	@mkdir -p $(@D)
	@echo "  TIDY $<"
	$(Q)clang-tidy-14 --quiet $< -- $(CPPFLAGS_ALL) -DWEIR_FAULTS -std=c17 2>build/lint/$*.err \
	    >build/lint/$*.out || { cat build/lint/$*.out; grep -v 'warnings generated' build/lint/$*.err; exit 1; }
	@touch $@

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
