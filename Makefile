# fewstep: `make demo` and `make test` are all that a newcomer needs; `make help` lists the rest.

BUILD ?= build
CC ?= gcc
SAN ?=
OPTIMISE ?= -O2

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
# No contraction anywhere but where a file asks for it: the same bits from each compiler and instruction set.
CFLAGS := -std=c17 $(OPTIMISE) -g -fopenmp -ffp-contract=off $(WARNINGS) $(SAN) -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE
CPPFLAGS := -I. -MMD -MP
LDLIBS := -ldnnl -llapacke -lopenblas -lfftw3 -lyaml -lsqlite3 -ljansson -lz -lpng -lmd -lm

# --- what is built ---------------------------------------------------------------------------------------------

SOURCES := $(filter-out harness/cli/main.c,$(wildcard kernels/base/*.c kernels/cpu/*.c methods/*.c metrics/*.c harness/*/*.c))
# Hot loops: each file once per instruction set, chosen at run time.
ISA_SOURCES := $(wildcard kernels/cpu/isa/*.c)
ISA_FLAGS_baseline :=
ISA_FLAGS_avx2 := -mavx2 -mfma -mf16c
ISA_FLAGS_avx512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512
ISAS := baseline avx2 avx512

OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o) $(foreach isa,$(ISAS),$(ISA_SOURCES:%.c=$(BUILD)/%.$(isa).o)) $(BUILD)/build_info.o
LIBRARY := $(BUILD)/libfewstep.a
PROGRAM := $(BUILD)/fewstep

TEST_SOURCES := $(wildcard tests/unit/test_*.c tests/op/test_*.c tests/golden/test_*.c tests/end_to_end/test_*.c)
TESTS := $(TEST_SOURCES:%.c=$(BUILD)/%)
TEST_SUPPORT := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/support/*.c tests/reference/*.c))

.PHONY: all help demo test test-san lint bench deps clean format FORCE
all: $(PROGRAM)

$(PROGRAM): $(BUILD)/harness/cli/main.o $(LIBRARY)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)

$(LIBRARY): $(OBJECTS)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

define isa_rule
$(BUILD)/%.$(1).o: %.c
	@mkdir -p $$(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -O3 -fno-math-errno -fno-trapping-math $(ISA_FLAGS_$(1)) -DFS_ISA=$(1) -c -o $$@ $$<
endef
$(foreach isa,$(ISAS),$(eval $(call isa_rule,$(isa))))

# --- where the numbers come from: embedded at build ----------------------------------------------------------------

NUMBER_SOURCES := $(sort $(foreach d,kernels methods metrics harness/config harness/data harness/model harness/train harness/sample,\
                    $(shell find $(d) -type f \( -name '*.c' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' \) 2>/dev/null)))

$(BUILD)/build_info.c: FORCE
	@mkdir -p $(@D)
	@sh harness/build_info.sh "$(CC)" "$(strip $(CFLAGS))" $(NUMBER_SOURCES) > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(BUILD)/build_info.o: $(BUILD)/build_info.c
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# --- tests -------------------------------------------------------------------------------------------------------------

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(TEST_SUPPORT) $(LIBRARY)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS) -lcmocka
.PRECIOUS: $(BUILD)/tests/%.o $(BUILD)/%.o

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
