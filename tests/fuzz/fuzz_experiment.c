/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An experiment file that somebody was sent. It is read, or refused with one line that names the file. */
#include <unistd.h>

#include "collector/experiment.h"
#include "tests/fuzz/fuzz.h"

static char path[] = "/tmp/fuzz-bop-experiment-XXXXXX.yaml";

static void path_remove(void)
{
	unlink(path);
}

static void file_write(const uint8_t *data, size_t size)
{
	static int fd = -1;

	if (fd < 0) {
		fd = mkstemps(path, 5);
		must(fd >= 0 && !atexit(path_remove));
	}
	must(!ftruncate(fd, 0) && pwrite(fd, data, size, 0) == (ssize_t)size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct experiment *experiment = NULL;
	struct error e = { "" };
	int err;

	file_write(data, size);
	err = experiment_read(path, &experiment, &e);
	if (err) {
		must_explain(err, &e);
		must(strstr(e.text, "fuzz-bop-experiment"));
		return 0;
	}
	must(experiment->name && experiment->boxes[0] && experiment->n_workloads && experiment->check_box);
	must(strlen(experiment->text) == size);
	experiment_free(experiment);
	return 0;
}
