/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Events in tracefs on the returns of functions. Fails with what tracefs or perf said. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "tfj/kretprobe.h"
#include "tfj/tracer_kernel.h"

#define GROUP "bop_"

/* Writes one line to a file of tracefs. */
static int line_write(int tracefs, const char *file, const char *line)
{
	int fd = openat(tracefs, file, O_WRONLY | O_APPEND | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, line, strlen(line)) < 0)
		err = -errno;
	close(fd);
	return err;
}

/* Opens a file of tracefs for reading. */
static FILE *file_read(int tracefs, const char *file)
{
	int fd = openat(tracefs, file, O_RDONLY | O_CLOEXEC);
	FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;

	if (fd >= 0 && !f)
		close(fd);
	return f;
}

/* The kernel lets go of an event a little after its last user. */
static int event_remove(int tracefs, const char *event, int tries)
{
	struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
	char line[128];
	int err;

	snprintf(line, sizeof(line), "-:%s", event);
	while ((err = line_write(tracefs, "kprobe_events", line)) == -EBUSY && --tries > 0)
		nanosleep(&pause, NULL);
	return err;
}

int kretprobe_attach(struct kretprobe *probe, struct bpf_program *program, const char *function)
{
	int tracefs = tracefs_open("."), event = -1, err;
	char line[200];

	if (tracefs < 0)
		return tracefs;
	/* the maker in the name, too: where the kernel counts what was missed it leaves the group out */
	snprintf(probe->event, sizeof(probe->event), GROUP "%d/%.30s_%d_%d", getpid(), function,
		 bpf_program__fd(program), getpid());
	snprintf(line, sizeof(line), "r%d:%s %s", KRETPROBE_WAITING, probe->event, function);
	err = line_write(tracefs, "kprobe_events", line);
	if (err)
		goto out;
	snprintf(line, sizeof(line), "events/%s", probe->event);
	event = trace_event_open(tracefs, line);
	if (event < 0) {
		err = event;
	} else {
		probe->link = bpf_program__attach_perf_event(program, event);
		err = probe->link ? 0 : -errno;
	}
	if (err) {
		if (event >= 0)
			close(event);
		event_remove(tracefs, probe->event, 200);
	}
out:
	close(tracefs);
	return err;
}

void kretprobe_detach(struct kretprobe *probe)
{
	int tracefs = tracefs_open(".");

	bpf_link__destroy(probe->link);
	probe->link = NULL;
	if (tracefs < 0)
		return;
	event_remove(tracefs, probe->event, 200);
	close(tracefs);
}

uint64_t kretprobes_missed(const struct kretprobe *probes, unsigned int n)
{
	unsigned long long hits, missed, sum = 0;
	int tracefs = n ? tracefs_open(".") : -1;
	FILE *f = tracefs >= 0 ? file_read(tracefs, "kprobe_profile") : NULL;
	char line[200], name[128];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%127s %llu %llu", name, &hits, &missed) != 3)
			continue;
		for (unsigned int i = 0; i < n; i++)
			if (!strcmp(strchr(probes[i].event, '/') + 1, name))
				sum += missed;
	}
	if (f)
		fclose(f);
	if (tracefs >= 0)
		close(tracefs);
	return sum;
}

/* Has that process a program? One that ended and that nobody has waited for has none. */
static int process_lives(int pid)
{
	char path[40], target[8];

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	return readlink(path, target, sizeof(target)) >= 0 || errno != ENOENT;
}

int kretprobes_clean(void)
{
	int tracefs = tracefs_open("."), removed = 0, pid;
	FILE *f = tracefs >= 0 ? file_read(tracefs, "kprobe_events") : NULL;
	char line[200], event[96];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*[^:]:%95s", event) != 1 || sscanf(event, GROUP "%d/", &pid) != 1)
			continue;
		if (!process_lives(pid))
			removed += !event_remove(tracefs, event, 1);
	}
	if (f)
		fclose(f);
	if (tracefs >= 0)
		close(tracefs);
	return tracefs < 0 ? tracefs : removed;
}
