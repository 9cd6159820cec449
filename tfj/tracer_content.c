/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See tracer_content.h. An object of its own, so that a tracer nobody asks for content does not even open it. It has
 * the programs of all backends; those of the tracer's are loaded.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "bpf/content.skel.h"
#include "tfj/tracer_content.h"
#include "tfj/tracer_kernel.h"

struct tracer_content {
	struct content_bpf *bpf;
	struct bpf_link *links[2];
};

/*
 * Where the kernel keeps the map of its pages, and its memory. Only a kernel that tells names of variables says so; without
 * it pages cannot be read. Reading the list takes some milliseconds.
 */
static void pages_find(uint64_t *ret_map, uint64_t *ret_memory)
{
	FILE *symbols = fopen("/proc/kallsyms", "re");
	unsigned long long at;
	char line[256], name[64];

	*ret_map = *ret_memory = 0;
	while (symbols && fgets(line, sizeof(line), symbols)) {
		if (!strstr(line, "_base") || sscanf(line, "%llx %*c %63s", &at, name) != 2)
			continue;
		if (!strcmp(name, "vmemmap_base"))
			*ret_map = at;
		if (!strcmp(name, "page_offset_base"))
			*ret_memory = at;
	}
	if (symbols)
		fclose(symbols);
}

bool tracer_content_pages(void)
{
	uint64_t map, memory;

	pages_find(&map, &memory);
	return map && memory;
}

/* The programs of a backend; the second where the kernel has that function (before 6.5). */
static const char *const programs[BACKEND_COUNT][2] = {
	[BACKEND_TRACEPOINT] = { "content_chunk" },
	[BACKEND_FENTRY] = { "content_send", "content_page" },
	[BACKEND_KPROBE] = { "content_send_probe", "content_page_probe" },
};

static bool has_sendpage(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool has = btf && btf__find_by_name_kind(btf, "tcp_sendpage", BTF_KIND_FUNC) > 0;

	btf__free(btf);
	return has;
}

static int programs_load(struct tracer_content *content, const struct tracer_content_place *place)
{
	const char *const *names = programs[place->backend];
	bool second = names[1] && has_sendpage();
	struct bpf_program *program;
	int err;

	bpf_object__for_each_program(program, content->bpf->obj)
	{
		const char *name = bpf_program__name(program);

		bpf_program__set_autoload(program, !strcmp(name, names[0]) || (second && !strcmp(name, names[1])));
	}
	content->bpf->rodata->socks_in_table = place->backend == BACKEND_KPROBE;
	err = tracer_maps_share(place->tracer, content->bpf->obj);
	return err ? err : content_bpf__load(content->bpf);
}

static int programs_attach(struct tracer_content *content)
{
	struct bpf_program *program;
	size_t n = 0;

	bpf_object__for_each_program(program, content->bpf->obj)
	{
		if (!bpf_program__autoload(program))
			continue;
		content->links[n] = bpf_program__attach(program);
		if (!content->links[n++])
			return -errno;
	}
	return 0;
}

int tracer_content_open(const struct tracer_content_place *place, struct tracer_content **ret_content, struct error *e)
{
	struct tracer_content *content;
	uint64_t map, memory;
	int err;

	if (!programs[place->backend][0])
		return error_set(e, -ENOTSUP, "content of messages cannot be read with the backend %s",
				 backend_names[place->backend]);
	content = calloc(1, sizeof(*content));
	if (!content)
		return error_set(e, -ENOMEM, "out of memory");
	tracer_quiet();
	content->bpf = content_bpf__open();
	err = content->bpf ? programs_load(content, place) : -errno;
	if (!err) {
		content->bpf->data->epoch = place->epoch;
		content->bpf->bss->content_bytes = place->bytes;
		content->bpf->bss->content_wake = place->ring_bytes / 4 / (size_t)libbpf_num_possible_cpus();
		pages_find(&map, &memory);
		content->bpf->bss->page_map_at = map;
		content->bpf->bss->page_memory_at = memory;
		err = programs_attach(content);
	}
	if (err) {
		error_set(e, -ENOTSUP, "content of messages cannot be read on this kernel: %s",
			  tracer_complaint()[0] ? tracer_complaint() : strerror(-err));
		tracer_content_close(content);
		return -ENOTSUP;
	}
	*ret_content = content;
	return 0;
}

void tracer_content_close(struct tracer_content *content)
{
	if (!content)
		return;
	for (size_t i = 0; i < sizeof(content->links) / sizeof(*content->links); i++)
		bpf_link__destroy(content->links[i]);
	content_bpf__destroy(content->bpf);
	free(content);
}
