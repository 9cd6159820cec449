/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See replace.h. */
#include "collector/replace.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* All that was written is with the kernel. Of what failed earlier errno may be gone: it shows again with the rest. */
static int flush(FILE *out, const char *file, struct error *e)
{
	errno = 0;
	if (fflush(out) == 0 && !ferror(out))
		return 0;
	errno = errno ? errno : EIO;
	return error_set(e, -errno, "%s: %s", file, strerror(errno));
}

/* A device or pipe: nothing can be renamed onto it. */
static int write_special(const char *file, int (*write)(FILE *out, void *arg, struct error *e), void *arg, struct error *e)
{
	FILE *out = fopen(file, "we");
	int err;

	if (!out)
		return error_set(e, -errno, "%s: %s", file, strerror(errno));
	err = write(out, arg, e);
	if (!err)
		err = flush(out, file, e);
	if (fclose(out) && !err)
		err = error_set(e, -errno, "%s: %s", file, strerror(errno));
	return err;
}

/* Into a temporary file beside it, which is then put there. */
static int write_plain(const char *file, int (*write)(FILE *out, void *arg, struct error *e), void *arg, struct error *e)
{
	char *temporary = NULL;
	FILE *out = NULL;
	int fd = -1, err;
	mode_t mask;

	if (asprintf(&temporary, "%s.XXXXXX", file) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	fd = mkstemp(temporary);
	if (fd < 0) {
		err = error_set(e, -errno, "%s: %s", file, strerror(errno));
		goto out;
	}
	out = fdopen(fd, "w");
	if (!out) {
		err = error_set(e, -errno, "%s: %s", file, strerror(errno));
		close(fd);
		goto remove;
	}
	err = write(out, arg, e);
	if (!err)
		err = flush(out, file, e);
	if (!err && fsync(fd) < 0) /* or a machine that loses its power keeps the name and not what is in the file */
		err = error_set(e, -errno, "%s: %s", file, strerror(errno));
	if (err < 0)
		goto remove;
	mask = umask(0);
	umask(mask);
	fchmod(fd, 0666 & ~mask);
	err = fclose(out);
	out = NULL;
	if (err || rename(temporary, file) < 0)
		err = error_set(e, -errno, "%s: %s", file, strerror(errno));
remove:
	if (err < 0)
		unlink(temporary);
out:
	if (out)
		fclose(out);
	free(temporary);
	return err;
}

int replace_file(const char *file, int (*write)(FILE *out, void *arg, struct error *e), void *arg, struct error *e)
{
	char real[PATH_MAX];
	struct stat st;

	if (stat(file, &st) == 0 && !S_ISREG(st.st_mode))
		return write_special(file, write, arg, e);
	return write_plain(realpath(file, real) ? real : file, write, arg, e);
}
