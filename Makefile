# fewstep: `make demo` and `make test` are all that a newcomer needs; `make help` lists the rest.

BUILD ?= build
ifeq ($(origin CC),default)
CC := gcc
endif
SAN ?=
OPTIMISE ?= -O2

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
# No contraction anywhere but where a file asks for it: the same bits from each compiler and instruction set.
CFLAGS := -std=c17 $(OPTIMISE) -g -fopenmp -ffp-contract=off $(WARNINGS) $(SAN) -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE
CPPFLAGS := -I. -MMD -MP
LDLIBS := -ldnnl -llapacke -lopenblas -lfftw3 -lyaml -lsqlite3 -ljansson -lz -lzip -lpng -ljpeg -lnettle -lm

# --- what is built ---

SOURCES := $(filter-out harness/cli/main.c,$(wildcard kernels/*.c kernels/base/*.c kernels/cpu/*.c methods/*.c metrics/*.c harness/*/*.c))
# Hot loops: each file once per instruction set, chosen at run time.
ISA_SOURCES := $(wildcard kernels/cpu/isa/*.c)
ISA_FLAGS_baseline :=
ISA_FLAGS_avx2 := -mavx2 -mfma -mf16c
ISA_FLAGS_avx512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512
ISAS := baseline avx2 avx512

OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o) $(foreach isa,$(ISAS),$(ISA_SOURCES:%.c=$(BUILD)/%.$(isa).o)) $(BUILD)/build_info.o $(BUILD)/page_assets.o
LIBRARY := $(BUILD)/libfewstep.a
PROGRAM := $(BUILD)/fewstep

TEST_SOURCES := $(wildcard tests/unit/test_*.c tests/op/test_*.c tests/golden/test_*.c tests/end_to_end/test_*.c)
TESTS := $(TEST_SOURCES:%.c=$(BUILD)/%)
TEST_SUPPORT := $(patsubst %.c,$(BUILD)/%.o,$(filter-out tests/fuzz/entry.c,$(wildcard tests/support/*.c tests/reference/*.c tests/fuzz/*.c)))

.DEFAULT_GOAL := all
.PHONY: all help deps deps-lint deps-fuzz demo test test-san fuzz lint format bench bench-gpu fashion-cnn results clean FORCE
all: $(PROGRAM) ## build the program

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# --- what a fresh machine needs ---

PACKAGES := gcc g++ make libdnnl-dev libopenblas-dev liblapacke-dev libfftw3-dev libyaml-dev libsqlite3-dev libjansson-dev \
            zlib1g-dev libzip-dev libpng-dev libjpeg-dev nettle-dev libcmocka-dev sqlite3 dataset-fashion-mnist
RECOMMENDED_PACKAGES := libopenmpi-dev openmpi-bin
LINT_PACKAGES := clang-format clang-tidy cppcheck libomp-dev
FUZZ_PACKAGES := clang libomp-dev

deps: ## install what is missing (apt; sudo where not root)
	@sh harness/deps.sh $(PACKAGES)
	@sh harness/deps.sh $(RECOMMENDED_PACKAGES) || echo "fewstep: without them there are no ranks under mpirun" >&2
deps-lint: ## install the linters
	@sh harness/deps.sh $(LINT_PACKAGES)
deps-fuzz: ## install what fuzz needs
	@sh harness/deps.sh $(FUZZ_PACKAGES)

# Public domain, 131 MB to download and 154 MB on the disk: only for experiments/clipart.yaml.
.PHONY: deps-clipart
deps-clipart: ## install the pictures of experiments/clipart.yaml
	@sh harness/deps.sh openclipart-png

# The experiment whose committed table README shows, the demo after its own, and the page first.
STUDY := fashion-unconditional
demo: deps ## the main job on real data: four methods, one table, on the CPU in about six minutes
	@$(MAKE) --no-print-directory -j$(shell nproc) all
	$(PROGRAM) run experiments/demo.yaml
	@echo; echo "the committed study (results/), which is not made just now: more work, more seeds"; echo
	@$(PROGRAM) table $(STUDY) --metric fd --db results/fewstep.db
	@echo; echo "next: $(PROGRAM) report -o report.html                                   one page with tables, charts, samples"
	@echo "      $(PROGRAM) run experiments/$(STUDY).yaml --dry-run   what the study costs"
	@echo "      harness/data/README.md                                               from your own pictures to a table"

# What things are compiled with, rewritten only when that changes: then all of them are compiled again. A file that was
# not there says nothing of what lies there already, so the first one is old.
COMPILED_WITH = $(CC) $(CPPFLAGS) $(CFLAGS) $(foreach isa,$(ISAS),$(ISA_FLAGS_$(isa))) $(CXX) $(CUDA_HOST_FLAGS) $(MPICC)
$(BUILD)/flags: FORCE
	@sh harness/flags.sh $@ '$(COMPILED_WITH)'
$(BUILD)/cuda/flags: FORCE
	@sh harness/flags.sh $@ '$(NVCC) $(CUDA_FLAGS) $(CUDA_CODE)'

$(PROGRAM): $(BUILD)/harness/cli/main.o $(LIBRARY)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)

# Ranks by MPI, in a shared object that the program loads under mpirun or srun: built where there is an mpicc.
MPICC ?= $(shell command -v mpicc 2>/dev/null)
MPI_LIBRARY := $(BUILD)/libfewstep_mpi.so
$(MPI_LIBRARY): harness/comm/mpi/mpi.c harness/comm/comm.h kernels/base/error.h $(BUILD)/flags
	OMPI_CC="$(CC)" MPICH_CC="$(CC)" $(MPICC) -I. $(CFLAGS) -O3 -fPIC -fvisibility=hidden -shared -o $@ $<
ifneq ($(MPICC),)
all: $(MPI_LIBRARY)
endif

$(LIBRARY): $(OBJECTS)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

define isa_rule
$(BUILD)/%.$(1).o: %.c $(BUILD)/flags
	@mkdir -p $$(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -O3 -fno-math-errno -fno-trapping-math $(ISA_FLAGS_$(1)) -DFS_ISA=$(1) -c -o $$@ $$<
endef
$(foreach isa,$(ISAS),$(eval $(call isa_rule,$(isa))))

# --- where the numbers come from: embedded at build ---

NUMBER_FOLDERS := kernels methods metrics harness/config harness/data harness/model harness/comm harness/train harness/sample harness/checkpoint
NUMBER_ENDINGS := c h cu cuh
NUMBER_SOURCES := $(sort $(filter $(addprefix %.,$(NUMBER_ENDINGS)),$(shell find $(NUMBER_FOLDERS) -type f 2>/dev/null)))

$(BUILD)/build_info.c: FORCE
	@mkdir -p $(@D)
	@sh harness/build_info.sh "$(CC)" "$(strip $(CFLAGS))" "$(NUMBER_FOLDERS)" "$(NUMBER_ENDINGS)" $(NUMBER_SOURCES) > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(BUILD)/page_assets.c: harness/report/page_assets.sh harness/report/page.css harness/report/page.js
	@mkdir -p $(@D)
	sh harness/report/page_assets.sh page_css harness/report/page.css page_js harness/report/page.js > $@
$(BUILD)/build_info.o $(BUILD)/page_assets.o: %.o: %.c $(BUILD)/flags
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# --- tests ---

# Where tests of the CUDA backend leave what they have seen of it, for `fewstep doctor --cuda`.
export FEWSTEP_EVIDENCE := $(abspath $(BUILD))/evidence

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(TEST_SUPPORT) $(LIBRARY)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS) -lcmocka
.PRECIOUS: $(BUILD)/tests/%.o $(BUILD)/%.o

test: deps ## build and run all tests
	@$(MAKE) --no-print-directory -j$(shell nproc) tests-built
	@sh tests/run.sh $(TESTS)
.PHONY: tests-built
tests-built: $(PROGRAM) $(TESTS) $(if $(MPICC),$(MPI_LIBRARY))

test-san: ## the same under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(MAKE) --no-print-directory BUILD=build/san OPTIMISE=-O1 \
	    SAN="-fsanitize=address,undefined -fno-sanitize-recover=all" test

# In the same job as the base, for other machines, compilers and libraries have other bits.
BASE ?= HEAD~1
.PHONY: same-bits
same-bits: $(PROGRAM) ## whether training has the same bits as at another commit (BASE=REVISION; a minute)
	sh tests/same_bits.sh $(BASE) $(PROGRAM)

.PHONY: test-regression-example
test-regression-example: all ## CI's example played at five commits of a small repository (minutes)
	sh tests/regression_example.sh $(BUILD)

# libFuzzer on the readers of foreign files, one target after the other. What it learns stays in build/fuzz/corpus. The
# kernels' vector types are gcc's: what the readers need is compiled by clang, what else is asked for comes from the
# ordinary archive.
FUZZ_TARGETS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SECONDS ?= 600
FUZZ_LENGTH ?= 16384
FUZZ_SAN := -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_SOURCES := $(wildcard kernels/base/*.c methods/*.c metrics/*.c harness/config/*.c harness/data/*.c harness/model/*.c) \
                tests/support/folder.c $(filter-out tests/fuzz/entry.c,$(wildcard tests/fuzz/*.c))
$(BUILD)/libfuzz.a: $(FUZZ_SOURCES:%.c=$(BUILD)/%.o)
	@rm -f $@
	ar rcs $@ $^
$(FUZZ_TARGETS:%=$(BUILD)/fuzz_%): $(BUILD)/fuzz_%: tests/fuzz/entry.c $(BUILD)/libfuzz.a $(ORDINARY)
	$(CC) -I. $(CFLAGS) -fsanitize=fuzzer -DFUZZ_TARGET=fuzz_$* -o $@ $^ $(LDLIBS)
.PHONY: fuzz-built
fuzz-built: $(FUZZ_TARGETS:%=$(BUILD)/fuzz_%)
fuzz: $(LIBRARY) ## ten minutes of libFuzzer a target (FUZZ_TARGETS="npz png", FUZZ_SECONDS=60: fewer)
	@$(MAKE) --no-print-directory -j$(shell nproc) BUILD=build/fuzz CC=clang OPTIMISE=-O1 \
	    SAN="-fsanitize=fuzzer-no-link $(FUZZ_SAN)" FUZZ_TARGETS="$(FUZZ_TARGETS)" ORDINARY=$(LIBRARY) fuzz-built
	@for target in $(FUZZ_TARGETS); do \
	    mkdir -p build/fuzz/corpus/$$target && echo "fuzz: $$target, $(FUZZ_SECONDS) s" && \
	    TMPDIR=/dev/shm build/fuzz/fuzz_$$target -max_total_time=$(FUZZ_SECONDS) -max_len=$(FUZZ_LENGTH) -timeout=20 \
	        -print_final_stats=1 -verbosity=0 -artifact_prefix=build/fuzz/$$target- build/fuzz/corpus/$$target tests/fuzz/corpus/$$target \
	        || exit 1; \
	done

PAGE_PACKAGES := chromium chromium-driver firefox-esr python3-selenium poppler-utils
.PHONY: deps-page test-page
deps-page: ## install what test-page needs
	@sh harness/deps.sh $(PAGE_PACKAGES)
# Development only: a made-up database and the committed one, each as a page in a headless Chromium, and drawn once by Firefox.
test-page: $(PROGRAM) $(BUILD)/tests/page/make_study ## the page in a browser; screenshots in build/page/
	$(BUILD)/tests/page/make_study $(BUILD)/page/study
	$(PROGRAM) report --db $(BUILD)/page/study/fewstep.db -o $(BUILD)/page/study.html
	$(PROGRAM) report --db results/fewstep.db -o $(BUILD)/page/results.html
	/usr/bin/python3 tests/page/test_page.py $(BUILD)/page/study.html $(BUILD)/page/study
	/usr/bin/python3 tests/page/test_page.py $(BUILD)/page/results.html $(BUILD)/page/results
	cd $(BUILD)/page/results && pdftoppm -r 60 -png print.pdf print

# --- the code itself ---

OWN_FILES = $(shell git ls-files '*.c' '*.h' '*.cu' '*.cuh' '*.cpp' '*.hpp')
LINT_SOURCES = $(filter-out kernels/cpu/isa/% $(if $(MPICC),,harness/comm/mpi/%),$(filter %.c,$(OWN_FILES)))
LINT_MPI = $(if $(MPICC),$(shell $(MPICC) --showme:compile 2>/dev/null || $(MPICC) -compile_info 2>/dev/null | grep -o '\-I[^ ]*'))

lint: ## clang-format, clang-tidy, cppcheck, who includes whom: no warning
	@sh tests/lint_includes.sh --self-check
	@sh tests/lint_includes.sh
	@clang-format --dry-run -Werror $(OWN_FILES)
	@cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr --enable=warning,performance,portability \
	    --suppressions-list=.cppcheck -I. --max-configs=4 $(filter %.c,$(OWN_FILES))
	@printf "%s\n" $(LINT_SOURCES) | xargs -P$(shell nproc) -n8 sh -c 'clang-tidy --quiet --warnings-as-errors="*" "$$@" -- \
	    -std=c17 -I. -fopenmp -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE $(LINT_MPI) 2>/dev/null' tidy
format: ## format every file
	clang-format -i $(OWN_FILES)

# --- numbers ---

bench: all ## time of each operation and of whole updates, as a share of this machine's peak
	$(PROGRAM) bench
fashion-cnn: all ## train the classifier behind the fashion-cnn features again (the committed file stays the extractor)
	$(PROGRAM) extractor dataset:fashion-mnist -o $(BUILD)/fashion-cnn.safetensors
# On another device, to try the script: make bench-gpu BENCH_DEVICE=cpu BENCH_MODELS=dit-xs/7 BENCH_BATCH=2 BENCH_OUT=build/bench
BENCH_DEVICE ?= cuda
BENCH_MODELS ?= dit-b/2 dit-xl/2
BENCH_OUT ?= results/bench
bench-gpu: all ## operations, updates and sampling on a GPU, and PyTorch beside it; into results/bench/DEVICE/
	sh harness/bench_gpu.sh $(PROGRAM) $(BENCH_OUT) $(BENCH_DEVICE) "$(BENCH_MODELS)" $(BENCH_BATCH)
# Needs torch: make bench-peers PYTHON=VENV/bin/python
PYTHON ?= python3
BENCH_PEERS ?=
.PHONY: bench-peers
bench-peers: all ## this program beside PyTorch on the CPU, by turns: one table (BENCH_PEERS="--models dit-xs/4 --rounds 1": less)
	$(PYTHON) harness/bench_peers.py $(PROGRAM) --log $(BUILD)/bench-peers.jsonl $(BENCH_PEERS)
results: all ## results/ from out/fewstep.db: the compact database, the tables and the grids
	sh harness/results.sh $(PROGRAM) $(STUDY)

PAPER_PACKAGES := latexmk texlive-latex-recommended texlive-fonts-recommended texlive-pictures lmodern poppler-utils
PAPER_DB ?= results/fewstep.db
.PHONY: deps-paper paper
deps-paper: ## install what paper needs: LaTeX
	@sh harness/deps.sh $(PAPER_PACKAGES)
paper: all ## results/paper.pdf: the paper, every number of it from results/fewstep.db
	@sh paper/make.sh $(PROGRAM) $(PAPER_DB) $(BUILD)/paper results/paper.pdf

PREFIX ?= /usr/local
.PHONY: install uninstall
install: all ## the program, its weights and experiments, man page and completion (PREFIX=/usr/local, DESTDIR=)
	@sh harness/install.sh install $(PROGRAM) "$(PREFIX)" "$(DESTDIR)"
uninstall: ## remove what install put there
	@sh harness/install.sh uninstall $(PROGRAM) "$(PREFIX)" "$(DESTDIR)"

clean: ## remove everything that was built (out/ stays)
	rm -rf $(BUILD)

# --- CUDA ---
# On the host: the .cu files by the host's compiler with the address and undefined-behaviour sanitisers; needs no
# toolkit and no device.

CUDA_SOURCES := $(wildcard kernels/cuda/*.cu)
CUDA_HOST_SAN := -fsanitize=address,undefined -fno-sanitize-recover=all
CUDA_HOST_FLAGS := -std=c++17 -O1 -g -ffp-contract=off $(CUDA_HOST_SAN) -fsanitize-sections=cuda_shared \
                   -Wall -Wextra -Wno-missing-field-initializers -Itests/cuda_host/include
CUDA_HOST_OBJECTS := $(patsubst %,$(BUILD)/cuda_host/%.o,$(CUDA_SOURCES) $(wildcard tests/cuda_host/*.cpp))
CUDA_HOST_TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/cuda_host/test_*.c))

$(BUILD)/cuda_host/%.o: % $(BUILD)/flags
	@mkdir -p $(@D)
	$(CXX) $(CPPFLAGS) $(CUDA_HOST_FLAGS) -x c++ -c -o $@ $<
$(CUDA_HOST_TESTS): %: %.o $(CUDA_HOST_OBJECTS) $(TEST_SUPPORT) $(LIBRARY)
	$(CXX) $(CUDA_HOST_SAN) -fopenmp -o $@ $^ $(LDLIBS) -lcmocka

.PHONY: test-cuda-host test-planted-bugs test-cuda-build test-cudnn-graphs test-gpu
TESTS += $(CUDA_HOST_TESTS)
tests-built: $(CUDA_HOST_TESTS)
test-cuda-host: $(CUDA_HOST_TESTS) ## the CUDA backend's own sources on the host (part of make test)
	sh tests/run.sh $(CUDA_HOST_TESTS)
# Puts known mistakes into a copy of the kernels, one at a time: the tests above must see each.
test-planted-bugs: $(CUDA_HOST_TESTS) ## mistakes put into the kernels, each of which must be seen (PLANT=1/4: every fourth)
	PLANT="$(PLANT)" FLAGS="$(CUDA_HOST_FLAGS)" SUPPORT="$(TEST_SUPPORT)" LIBS="$(LDLIBS)" sh tests/cuda_host/planted_bugs.sh $(BUILD)

# With the toolkit: the shared object that is loaded at run time. No contraction (mix and the normals promise bits), and
# a spilled register is an error.

NVCC ?= $(firstword $(shell command -v nvcc 2>/dev/null) $(wildcard /usr/local/cuda/bin/nvcc))
CUDA_ARCHITECTURES ?= 80 86 89 90 100 120
# And PTX, which the driver compiles for a device that is none of these: of the newest for what comes after it, of the
# oldest for what lies between (8.7, 10.3), which cannot take the newest's.
CUDA_CODE := $(foreach a,$(CUDA_ARCHITECTURES),-gencode arch=compute_$(a),code=sm_$(a)) \
             $(foreach a,$(sort $(firstword $(CUDA_ARCHITECTURES)) $(lastword $(CUDA_ARCHITECTURES))),-gencode arch=compute_$(a),code=compute_$(a))
CUDA_FLAGS := -std=c++17 -O3 -fmad=false -Werror all-warnings -Xptxas -warn-spills \
              -Xcompiler -fPIC,-fvisibility=hidden,-Wall,-Wextra,-Wno-missing-field-initializers
comma := ,
CUDA_HOME := $(patsubst %/bin/,%,$(dir $(NVCC)))
# cuDNN 9.16 or newer, where it is: CUDNN is the folder that holds its include/ and lib/; empty: without it. What is built
# with it opens it at run time (kernels/cuda/cudnn/library.cu), there or where the loader looks, and goes without it else.
CUDNN_NEEDED := 91600
CUDNN_FOUND := $(firstword $(patsubst %/include/cudnn.h,%,$(wildcard $(addsuffix /include/cudnn.h,$(CUDA_HOME) /usr/local /usr))))
CUDNN ?= $(CUDNN_FOUND)
CUDNN_VERSION := $(if $(CUDNN),$(shell awk '/define CUDNN_MAJOR/ { a = $$3 } /define CUDNN_MINOR/ { b = $$3 } \
                 /define CUDNN_PATCHLEVEL/ { c = $$3 } END { print a * 10000 + b * 100 + c }' $(CUDNN)/include/cudnn_version.h))
ifeq ($(shell [ "$(CUDNN_VERSION)" -ge $(CUDNN_NEEDED) ] 2>/dev/null && echo yes),yes)
CUDNN_SOURCES := $(wildcard kernels/cuda/cudnn/*.cu)
CUDA_FLAGS += -DFS_CUDNN -I$(CUDNN)/include
CUDNN_LIBS := -L$(CUDNN)/lib -lcudnn
endif
# NCCL is opened at run time, too, and needs no header at build; test-cuda-build compares what is declared with NCCL's own
# where it is: NCCL is the folder that holds its include/ and lib/.
NCCL ?= $(firstword $(patsubst %/include/nccl.h,%,$(wildcard $(addsuffix /include/nccl.h,$(CUDA_HOME) /usr/local /usr))))
NCCL_SOURCES := $(wildcard kernels/cuda/nccl/*.cu)
CUDA_OBJECTS := $(patsubst %,$(BUILD)/cuda/%.o,$(CUDA_SOURCES) $(NCCL_SOURCES) $(CUDNN_SOURCES)) \
                $(BUILD)/cuda/kernels/base/error.o $(BUILD)/cuda/kernels/base/memory.o
CUDA_LIBRARY := $(BUILD)/libfewstep_cuda.so

$(BUILD)/cuda/%.cu.o: %.cu $(BUILD)/cuda/flags
	@mkdir -p $(@D)
	$(NVCC) -I. -MMD -MP $(CUDA_FLAGS) $(CUDA_CODE) -c -o $@ $<
$(BUILD)/cuda/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -fvisibility=hidden -c -o $@ $<
$(CUDA_LIBRARY): $(CUDA_OBJECTS)
	$(NVCC) -shared $(CUDA_CODE) -Xlinker --no-undefined,-rpath,$(CUDA_HOME)/lib64$(if $(CUDNN_LIBS),$(comma)-rpath$(comma)$(CUDNN)/lib) \
	    -o $@ $^ -lcublasLt -ldl
	@echo "cuDNN: $(if $(CUDNN_LIBS),$(CUDNN) ($(CUDNN_VERSION)),not compiled in: $(if $(CUDNN),$(CUDNN) has version $(CUDNN_VERSION)$(comma) $(CUDNN_NEEDED) is the oldest,it is not here; CUDNN=FOLDER names another place))"

# Where there is a device, the program is built with its backend.
ifneq ($(and $(NVCC),$(wildcard /dev/nvidia0)),)
all: $(CUDA_LIBRARY)
endif

ifeq ($(NVCC),)
cuda test-cuda-build test-gpu:
	@echo "$@: skipped, there is no nvcc"
else
test-cuda-build: $(CUDA_LIBRARY) ## compile the CUDA backend for each architecture and link it; cuDNN checks its graphs
	sh tests/cuda_host/runtime_calls.sh $(CUDA_OBJECTS)
	@! readelf -d $(CUDA_LIBRARY) | grep 'NEEDED.*cudnn' || { echo "the backend cannot be loaded without cuDNN" >&2; exit 1; }
	sh tests/cuda_host/record.sh $(BUILD) compiled "*	$(CUDA_ARCHITECTURES:%=sm_%), $$($(NVCC) --version | sed -n 's/.*release \([0-9.]*\).*/CUDA \1/p')"
# cuDNN compiles for a device that is not there as soon as it finds a driver's library: the toolkit's stub is one.
test-cuda-build: $(if $(CUDNN_LIBS),test-cudnn-graphs)
test-cudnn-graphs: $(BUILD)/test_cudnn_graphs $(BUILD)/test_cudnn_math
	$(BUILD)/test_cudnn_math
	@mkdir -p $(BUILD)/cuda/stub
	@test ! -e $(CUDA_HOME)/lib64/stubs/libcuda.so || ln -sf $(CUDA_HOME)/lib64/stubs/libcuda.so $(BUILD)/cuda/stub/libcuda.so.1
	LD_LIBRARY_PATH=$(BUILD)/cuda/stub:$$LD_LIBRARY_PATH $<
	sh tests/cuda_host/record.sh $(BUILD) cudnn $(foreach o,attention_forward attention_backward convolution_forward,"$(o)	graphs finished by cuDNN $(CUDNN_VERSION)")
$(BUILD)/test_cudnn_graphs: $(filter %graph.cu.o,$(CUDA_OBJECTS))
$(BUILD)/test_cudnn_math: $(filter %_graph.cu.o %/cudnn/attention.cu.o,$(CUDA_OBJECTS)) $(TEST_SUPPORT) $(LIBRARY)
$(BUILD)/test_cudnn_%: tests/cudnn/test_cudnn_%.cpp
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O1 -g -Wall -Wextra -Wno-missing-field-initializers -DFS_CUDNN -I. -I$(CUDNN)/include \
	    -I$(CUDA_HOME)/include -o $@ $^ $(LDLIBS) -fopenmp -lcmocka $(CUDNN_LIBS) -L$(CUDA_HOME)/lib64 -lcudart -ldl \
	    -Wl,-rpath,$(CUDNN)/lib -Wl,-rpath,$(CUDA_HOME)/lib64
test-cuda-build: $(if $(NCCL),test-nccl)
.PHONY: test-nccl
test-nccl: $(BUILD)/test_nccl
	LD_LIBRARY_PATH=$(NCCL)/lib:$$LD_LIBRARY_PATH $<
$(BUILD)/test_nccl: tests/nccl/test_nccl.cpp $(BUILD)/cuda/kernels/cuda/nccl/library.cu.o
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O1 -g -Wall -Wextra -I. -I$(NCCL)/include -I$(CUDA_HOME)/include -o $@ $^ \
	    -L$(CUDA_HOME)/lib64 -lcudart -ldl -Wl,-rpath,$(CUDA_HOME)/lib64
$(BUILD)/test_gpu: $(BUILD)/tests/gpu/test_gpu.o $(TEST_SUPPORT) $(LIBRARY)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS) -lcmocka
.PHONY: cuda
cuda: $(CUDA_LIBRARY) ## the CUDA backend for the program; plain make builds it too where there is a device
test-gpu: $(CUDA_LIBRARY) $(BUILD)/test_gpu ## the CUDA backend on a device
	$(BUILD)/test_gpu
endif

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
