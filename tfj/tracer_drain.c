/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See tracer.h. What comes out of a tracer: records, and how many it made and could not make. */
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>

#include "lib/clock.h"
#include "tfj/tracer_inside.h"

#define WRITING_NS (5 * CLOCK_SECOND_NS) /* a virtual CPU can stand still for long in the midst of a record */
#define LOOK_NS (CLOCK_SECOND_NS / 1000)

int tracer_fd(const struct tracer *tracer)
{
	return tracer->rings.epoll;
}

static void record_arrived(void *arg, const struct rec_head *record, size_t size)
{
	struct tracer *tracer = arg;

	tracer->arrived++;
	tracer->on_record(record, size, tracer->arg);
}

int tracer_drain(struct tracer *tracer)
{
	return tracer_rings_drain(&tracer->rings, record_arrived, tracer);
}

/*
 * Runs that were skipped because the program, or another perf program, was running on that CPU
 * already. Of two at the same hook one always runs; a child of a listening socket that is not seen when it is born is seen
 * when it is established.
 */
static uint64_t runs_missed(const struct tracer *tracer)
{
	const struct bpf_program *harmless[] = {
		tracer->bpf->progs.on_state,	     tracer->bpf->progs.on_state_nested, tracer->bpf->progs.on_reset,
		tracer->bpf->progs.on_reset_nested,  tracer->bpf->progs.on_destroy,	 tracer->bpf->progs.on_destroy_nested,
		tracer->bpf->progs.on_born,
	};
	struct bpf_program *program;
	uint64_t missed = 0;

	bpf_object__for_each_program(program, tracer->bpf->obj)
	{
		struct bpf_prog_info info = {0};
		__u32 size = sizeof(info);
		bool missing = true;

		for (size_t i = 0; i < sizeof(harmless) / sizeof(*harmless); i++)
			missing &= program != harmless[i];
		if (missing && bpf_program__fd(program) >= 0 &&
		    !bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
			missed += info.recursion_misses;
	}
	return missed;
}

/* What the programs count themselves. */
static void counters_read(const struct tracer *tracer, uint64_t ret_counters[COUNTER_COUNT])
{
	struct cpu_counters *cpus = tracer->cpus;
	uint32_t zero = 0;

	memset(ret_counters, 0, COUNTER_COUNT * sizeof(*ret_counters));
	if (bpf_map__lookup_elem(tracer->bpf->maps.cpus, &zero, sizeof(zero), cpus,
				 (size_t)tracer->n_cpus * sizeof(*cpus), 0))
		return; /* never: it is there as long as we are */
	for (int cpu = 0; cpu < tracer->n_cpus; cpu++)
		for (int i = 0; i < COUNTER_COUNT; i++)
			ret_counters[i] += cpus[cpu].counters[i];
	ret_counters[COUNTER_EMITTED] += rings_lanes_given(tracer->rings.rings);
}

void tracer_counters(const struct tracer *tracer, uint64_t ret_counters[COUNTER_COUNT])
{
	counters_read(tracer, ret_counters);
	ret_counters[COUNTER_LOST_NESTED] += runs_missed(tracer) + tracer->missed +
					     kretprobes_missed(tracer->kretprobes, tracer->n_kretprobes);
}

uint64_t tracer_drain_all(struct tracer *tracer, uint64_t *ret_missing)
{
	uint64_t end = clock_monotonic_ns() + WRITING_NS, now[COUNTER_COUNT], emitted, known;

	tracer_drain(tracer);
	counters_read(tracer, now);
	emitted = now[COUNTER_EMITTED];
	if (tracer->arrived + tracer->given_up > emitted) /* they have come after all */
		tracer->given_up = emitted - tracer->arrived;
	while ((known = tracer->arrived + tracer->given_up) < emitted && clock_monotonic_ns() < end) {
		nanosleep(&(struct timespec){ .tv_nsec = LOOK_NS }, NULL);
		tracer_drain(tracer);
	}
	*ret_missing = known < emitted ? emitted - known : 0;
	tracer->given_up += *ret_missing;
	return emitted;
}
