/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See tracer_rings.h. The ring buffer's descriptor itself would be readable whenever there is a record: in a busy run always.
 * So it is watched for edges: the calls of the programs, of which the next drain is the answer.
 */
#include "tfj/tracer_rings.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/clock.h"

#define RECORD_MAX 160 /* the longest record with its header in the ring */
#define PATIENCE 100 /* looks again for a record that is being written, which takes a fraction of a microsecond */
#define LANE_SLOTS_MIN 512 /* fewer are not worth their memory */

int ring_size_check(size_t ring_bytes, struct error *e)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (ring_bytes < page || ring_bytes & (ring_bytes - 1))
		return error_set(
			e, -EINVAL,
			"ring buffer of %zu bytes: the size must be a power of two, at least %zu",
			ring_bytes, page);
	if (ring_bytes > 1u << 30)
		return error_set(e, -E2BIG,
				 "ring buffer of %zu bytes: the kernel allows at most 1 GiB",
				 ring_bytes);
	return 0;
}

/*
 * Numbers are drawn for each CPU: if all CPUs are silent for just not so many records, half of the
 * buffer has room.
 */
uint64_t ring_wake_mask(size_t ring_bytes)
{
	uint64_t records = ring_bytes / 2 / RECORD_MAX / (uint64_t)libbpf_num_possible_cpus(),
		 every = 1;

	while (every * 2 <= records)
		every *= 2;
	return every - 1;
}

#ifdef __x86_64__
/* By a time namespace: then what the kernel writes into records is not what we read. */
static bool clock_is_moved(void)
{
	FILE *f = fopen("/proc/self/timens_offsets", "re");
	long long s, ns;
	bool moved = false;
	char name[32];

	while (f && fscanf(f, "%31s %lld %lld", name, &s, &ns) == 3)
		moved |= !strcmp(name, "monotonic") && (s || ns);
	if (f)
		fclose(f);
	return moved;
}

/* All clocks but those that count ticks of the timer are read more slowly than they count. */
static bool clock_counts_ticks(void)
{
	FILE *f = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
	char name[32] = "";
	bool found = f && fscanf(f, "%31s", name) == 1 && strstr(name, "jiffies");

	if (f)
		fclose(f);
	return found;
}
#endif

uint64_t ring_lane_slots(size_t ring_bytes)
{
#ifdef __x86_64__
	uint64_t slots = 2 * (ring_wake_mask(ring_bytes) + 1);

	return slots >= LANE_SLOTS_MIN && !clock_is_moved() && !clock_counts_ticks() ? slots : 0;
#else
	return 0;
#endif
}

static void *map(int fd, size_t size, int access, off_t at)
{
	void *p = mmap(NULL, size, access, MAP_SHARED, fd, at);

	return p == MAP_FAILED ? NULL : p;
}

static int watch(struct tracer_rings *rings, int fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	rings->epoll = epoll_create1(EPOLL_CLOEXEC);
	return rings->epoll < 0 || epoll_ctl(rings->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* Bytes from one element of an array that is mapped to the next. */
static size_t lane_size(const struct bpf_map *lanes)
{
	return (bpf_map__value_size(lanes) + 7) / 8 * 8;
}

int tracer_rings_open(struct tracer_rings *rings, const struct bpf_map *records, const struct bpf_map *lanes, uint64_t slots)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct rings_memory *memory = &rings->memory;
	int fd = bpf_map__fd(records), err;

	*rings = (struct tracer_rings){ .records = records, .epoll = -1 };
	memory->ring_bytes = bpf_map__max_entries(records);
	memory->ring_taken = map(fd, page, PROT_READ | PROT_WRITE, 0);
	rings->given = map(fd, page + 2 * memory->ring_bytes, PROT_READ, (off_t)page);
	memory->ring_given = rings->given;
	memory->ring = rings->given ? (unsigned char *)rings->given + page : NULL;
	if (slots) {
		memory->slots = slots;
		memory->n_lanes = bpf_map__max_entries(lanes);
		memory->lane_bytes = lane_size(lanes);
		memory->lanes = map(bpf_map__fd(lanes), memory->n_lanes * memory->lane_bytes, PROT_READ | PROT_WRITE, 0);
	}
	err = !memory->ring_taken || !rings->given || (slots && !memory->lanes) ? -errno : watch(rings, fd);
	if (!err)
		err = rings_new(memory, &rings->rings);
	if (err)
		tracer_rings_close(rings);
	return err;
}

void tracer_rings_close(struct tracer_rings *rings)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct rings_memory *memory = &rings->memory;

	rings_free(rings->rings);
	if (memory->lanes)
		munmap(memory->lanes, memory->n_lanes * memory->lane_bytes);
	if (rings->given)
		munmap(rings->given, page + 2 * memory->ring_bytes);
	if (memory->ring_taken)
		munmap(memory->ring_taken, page);
	if (memory->ring_bytes && rings->epoll >= 0)
		close(rings->epoll);
	*rings = (struct tracer_rings){ .epoll = -1 };
}

int tracer_rings_drain(struct tracer_rings *rings, rings_on_record *on_record, void *arg)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	bool waits = true;
	uint64_t now;
	int n = 0;

	epoll_wait(rings->epoll, &event, 1, 0);
	for (int i = 0; waits && i < PATIENCE; i++) {
		now = rings->memory.slots ? clock_monotonic_ns() : UINT64_MAX; /* one ring alone is in order */
		n += rings_drain(rings->rings, now, on_record, arg, &waits);
	}
	if (waits) { /* what it called for may be behind that: it counts as a call still */
		event.events = EPOLLIN | EPOLLET;
		epoll_ctl(rings->epoll, EPOLL_CTL_MOD, bpf_map__fd(rings->records), &event);
	}
	return n;
}
