/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See tracer_content.h. An object of its own, so that a tracer nobody asks for content does not even open it. It has
 * one program for each place where a send can be seen; the first that loads and attaches is used.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/content.skel.h"
#include "tfj/tracer_content.h"
#include "tfj/tracer_kernel.h"

struct tracer_content {
	struct content_bpf *bpf;
	struct bpf_link *link;
};

/* The maps that both have are the tracer's. */
static int maps_share(struct content_bpf *bpf, struct bpf_object *tracer)
{
	struct bpf_map *map, *theirs;
	int err = 0;

	bpf_object__for_each_map(map, bpf->obj)
	{
		theirs = bpf_map__is_internal(map) ? NULL : bpf_object__find_map_by_name(tracer, bpf_map__name(map));
		if (theirs && !err)
			err = bpf_map__reuse_fd(map, bpf_map__fd(theirs));
	}
	return err;
}

/*
 * Where the kernel keeps the map of its pages, and its memory. Only a kernel that tells names of variables says so; without
 * it pages cannot be read. Reading the list takes some milliseconds.
 */
static void pages_find(struct content_bpf *bpf)
{
	FILE *symbols = fopen("/proc/kallsyms", "re");
	unsigned long long at;
	char line[256], name[64];

	while (symbols && fgets(line, sizeof(line), symbols)) {
		if (!strstr(line, "_base") || sscanf(line, "%llx %*c %63s", &at, name) != 2)
			continue;
		if (!strcmp(name, "vmemmap_base"))
			bpf->bss->page_map_at = at;
		if (!strcmp(name, "page_offset_base"))
			bpf->bss->page_memory_at = at;
	}
	if (symbols)
		fclose(symbols);
}

static int program_try(struct tracer_content *content, struct bpf_object *tracer, const char *name)
{
	struct bpf_program *program;
	int err;

	content->bpf = content_bpf__open();
	if (!content->bpf)
		return -errno;
	bpf_object__for_each_program(program, content->bpf->obj)
		bpf_program__set_autoload(program, !strcmp(bpf_program__name(program), name));
	err = maps_share(content->bpf, tracer);
	if (!err)
		err = content_bpf__load(content->bpf);
	if (err) {
		content_bpf__destroy(content->bpf);
		content->bpf = NULL;
	}
	return err;
}

static int program_attach(struct tracer_content *content)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, content->bpf->obj)
		if (bpf_program__autoload(program))
			content->link = bpf_program__attach(program);
	return content->link ? 0 : -errno;
}

/* Opens, sets, attaches the program of that name. */
static int program_use(struct tracer_content *content, struct bpf_object *tracer, const char *name, uint32_t epoch,
		       uint32_t bytes, size_t ring_bytes)
{
	int err = program_try(content, tracer, name);

	if (err)
		return err;
	content->bpf->data->epoch = epoch;
	content->bpf->bss->content_bytes = bytes;
	content->bpf->bss->content_wake = ring_bytes / 4 / (size_t)libbpf_num_possible_cpus();
	pages_find(content->bpf);
	err = program_attach(content);
	if (err) {
		content_bpf__destroy(content->bpf);
		content->bpf = NULL;
	}
	return err;
}

int tracer_content_open(struct bpf_object *tracer, uint32_t epoch, uint32_t bytes, size_t ring_bytes,
			struct tracer_content **ret_content, struct error *e)
{
	static const char *const programs[] = { "content_chunk", "content_send" };
	struct tracer_content *content = calloc(1, sizeof(*content));
	int err = -ENOTSUP;

	if (!content)
		return error_set(e, -ENOMEM, "out of memory");
	tracer_quiet();
	for (size_t i = 0; err && i < sizeof(programs) / sizeof(*programs); i++)
		err = program_use(content, tracer, programs[i], epoch, bytes, ring_bytes);
	if (err) {
		free(content);
		return error_set(e, -ENOTSUP, "content of messages cannot be read on this kernel: %s",
				 tracer_complaint()[0] ? tracer_complaint() : strerror(-err));
	}
	*ret_content = content;
	return 0;
}

void tracer_content_close(struct tracer_content *content)
{
	if (!content)
		return;
	bpf_link__destroy(content->link);
	content_bpf__destroy(content->bpf);
	free(content);
}
