/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Paths of cgroups: whatever is found is an id, stands in the path, and is found again in that part of it alone. */
#include "lib/container.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *path = strndup((const char *)data, size);
	struct container_path got = { 0 }, again = { 0 };

	must(path);
	if (container_path_parse(path, &got)) {
		size_t n = strlen(got.id);

		must(container_id_valid(got.id, n) && got.runtime < CONTAINER_RUNTIME_COUNT && container_runtime_text(got.runtime));
		must(got.length <= strlen(path) && memmem(path, got.length, got.id, n));
		must(!*got.pod || strlen(got.pod) == 36 || strlen(got.pod) == 32);
		path[got.length] = '\0';
		must(container_path_parse(path, &again) && !memcmp(&got, &again, sizeof(got)));
	}
	free(path);
	return 0;
}
