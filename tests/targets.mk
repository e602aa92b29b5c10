# Targets that install, test, check and show; included by the Makefile.

.PHONY: deps test lint fmt bench demo soak fuzz mutants

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
benches-build: $(patsubst %.c,$(B)/%,$(wildcard tests/bench/*.c))
threads-build: $(patsubst %.c,$(B)/%,$(wildcard tests/unit/*_threads_test.c))

# Fuzzers: libFuzzer, so clang; sources are compiled for them in one go, a minute at most.
FUZZERS := $(patsubst tests/fuzz/%.c,build/fuzz/tests/fuzz/%,$(wildcard tests/fuzz/*_fuzz.c))
fuzz-build: $(FUZZERS)
build/fuzz/tests/fuzz/%: tests/fuzz/%.c $(SRC.common) $(wildcard common/*.h)
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
