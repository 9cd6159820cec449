/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See key.h. Secrets leave memory with the struct that holds them: whoever reads one overwrites it when done. */
#include "lib/key.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

enum { FILE_MAX = 4096, KEY_BYTES = 32 };

bool key_valid(const char *text)
{
	unsigned char bytes[KEY_BYTES];

	return strlen(text) == KEY_SIZE - 1 && zmq_z85_decode(bytes, text);
}

/* The first key of a text; changes it. */
static char *first_key(char *text)
{
	char *line, *rest = text;

	while ((line = strsep(&rest, "\n"))) {
		if (!strncmp(line, "# ", 2) || !*line)
			continue;
		line[strcspn(line, " \t\r")] = '\0';
		return key_valid(line) ? line : NULL;
	}
	return NULL;
}

static int file_read(int fd, const char *path, char ret_key[KEY_SIZE], struct error *e)
{
	char text[FILE_MAX + 1], *key;
	ssize_t n = read(fd, text, FILE_MAX);
	int err = n < 0 ? error_set(e, -errno, "%s: %s", path, strerror(errno)) : 0;

	if (!err) {
		text[n] = '\0';
		key = first_key(text);
		if (key)
			memcpy(ret_key, key, KEY_SIZE);
		else
			err = error_set(e, -EINVAL, "%s: there is no key in this file (40 characters, as `bop keys make` writes)",
					path);
	}
	explicit_bzero(text, sizeof(text));
	return err;
}

int key_read_public(const char *where, char ret_public[KEY_SIZE], struct error *e)
{
	struct stat st;
	int fd, err;

	if (key_valid(where) && access(where, F_OK) < 0) { /* a path of 40 characters can look like a key */
		memcpy(ret_public, where, KEY_SIZE);
		return 0;
	}
	fd = open(where, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would keep us waiting for a writer */
	if (fd < 0)
		return error_set(e, -errno, "'%s' is neither a key (40 characters) nor a file with one: %s", where,
				 strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		err = error_set(e, -EINVAL, "%s: there is no key here: this is no plain file", where);
	else
		err = file_read(fd, where, ret_public, e);
	close(fd);
	return err;
}

static int secret_check(int fd, const char *path, struct error *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set(e, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(e, -EPERM, "%s: a secret key is kept in a plain file", path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return error_set(e, -EPERM, "%s: this secret key belongs to another user (%u)", path, st.st_uid);
	if (st.st_mode & 077)
		return error_set(e, -EPERM, "%s: others can read or change this secret key (mode %04o): make a new one with "
				 "`bop keys make`, or chmod 600 it if you are sure that nobody did", path, st.st_mode & 07777);
	return 0;
}

int key_read_secret(const char *path, char ret_secret[KEY_SIZE], char ret_public[KEY_SIZE], struct error *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err;

	if (fd < 0)
		return error_set(e, -errno, "%s: %s (a secret key; `bop keys make NAME` makes one)", path, strerror(errno));
	err = secret_check(fd, path, e);
	if (!err)
		err = file_read(fd, path, ret_secret, e);
	if (!err && zmq_curve_public(ret_public, ret_secret) < 0)
		err = error_set(e, -EINVAL, "%s: there is no secret key in this file", path);
	close(fd);
	return err;
}

static int file_write(const char *path, mode_t mode, const char *key, struct error *e)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode), err = 0;

	if (fd < 0)
		return error_set(e, -errno, errno == EEXIST ? "%s: this key is there already; choose another name, or remove it" :
							      "%s: cannot be made: %m", path);
	if (dprintf(fd, "%s\n", key) < 0 || fchmod(fd, mode) < 0 || fsync(fd) < 0)
		err = error_set(e, -errno, "%s: %s", path, strerror(errno));
	close(fd);
	if (err)
		unlink(path);
	return err;
}

int key_make(const char *path, char ret_public[KEY_SIZE], struct error *e)
{
	char secret[KEY_SIZE], file[PATH_MAX];
	int err;

	do /* a key that looks like an option is awkward to give to a command */
		if (zmq_curve_keypair(ret_public, secret) < 0)
			return error_set(e, -ENOTSUP, "this ZeroMQ library has no CURVE: no keys can be made");
	while (*ret_public == '-');
	if (snprintf(file, sizeof(file), "%s.secret", path) >= (int)sizeof(file) - 1)
		return error_set(e, -ENAMETOOLONG, "%s: this path is too long", path);
	err = file_write(file, 0600, secret, e);
	explicit_bzero(secret, sizeof(secret));
	if (err)
		return err;
	snprintf(file, sizeof(file), "%s.public", path);
	err = file_write(file, 0644, ret_public, e);
	if (err) {
		snprintf(file, sizeof(file), "%s.secret", path);
		unlink(file);
	}
	return err;
}
