/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The file is a ring of whole pieces: what does not fit before its bound goes to its beginning, when there is room
 * again. When nothing waits in it, it is emptied, and the disk has its space back.
 *
 * A disk that is full is met by a write that fails; the file then turns round where it is. What could not be written
 * stays in memory, and the next piece tries again once an older one was dropped.
 */
#include "tfj/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/claim.h"

void spool_init(struct spool *spool, struct spool_room *room)
{
	*spool = (struct spool){ .room = room, .fd = -1 };
}

void spool_fini(struct spool *spool)
{
	if (spool->fd >= 0)
		close(spool->fd);
	spool->room->disk_used -= spool->size;
	spool_init(spool, spool->room);
}

/* In a directory of its own, which a sweep would find; both names are gone before anything is written. */
static int file_open(struct spool *spool)
{
	struct claim claim;
	int err = claim_open(&claim, claim_base(), "tfj", NULL, 0700, NULL);

	if (err < 0)
		return err;
	spool->fd = openat(claim.fd, "spool", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	err = spool->fd < 0 ? -errno : 0;
	claim_remove_tree(claim.path);
	claim_close(&claim);
	return err;
}

/* Where the next piece goes; UINT64_MAX: there is no room within the bound. */
static uint64_t place_find(const struct spool *spool, size_t size)
{
	uint64_t grows = spool->tail + size > spool->size ? spool->tail + size - spool->size : 0;

	if (spool->end)
		return spool->tail + size <= spool->head ? spool->tail : UINT64_MAX;
	if (spool->room->disk_used + grows <= spool->room->disk)
		return spool->tail;
	return size <= spool->head ? 0 : UINT64_MAX;
}

/* 0, or why it was not written: then nothing has changed. */
static int piece_write(int fd, const unsigned char *bytes, size_t size, uint64_t at)
{
	while (size) {
		ssize_t n = pwrite(fd, bytes, size, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		bytes += n;
		size -= (size_t)n;
		at += (size_t)n;
	}
	return 0;
}

/* What a write that failed half-way had added to the file. */
static void size_update(struct spool *spool)
{
	off_t size = lseek(spool->fd, 0, SEEK_END);

	if (size < 0)
		return;
	spool->room->disk_used += (uint64_t)size - spool->size;
	spool->size = (uint64_t)size;
}

static int file_put(struct spool *spool, const unsigned char *bytes, size_t size, uint64_t *ret_at)
{
	uint64_t at;
	int err = 0;

	if (spool->fd < 0 && spool->room->disk)
		err = file_open(spool);
	if (err < 0)
		return err;
	at = spool->room->disk ? place_find(spool, size) : UINT64_MAX;
	if (at == UINT64_MAX)
		return -EFBIG;
	err = piece_write(spool->fd, bytes, size, at);
	if (err == -ENOSPC && at && !spool->end && size <= spool->head) {
		at = 0;
		err = piece_write(spool->fd, bytes, size, at);
	}
	size_update(spool);
	if (err < 0)
		return err;
	if (!at && spool->in_file) /* it turned round */
		spool->end = spool->tail;
	spool->tail = at + size;
	spool->in_file++;
	*ret_at = at;
	return 0;
}

void spool_put(struct spool *spool, unsigned char *bytes, size_t size, struct piece *ret_piece)
{
	struct spool_room *room = spool->room;
	int err;

	*ret_piece = (struct piece){ .bytes = bytes, .size = size };
	if (room->memory_used + size <= room->memory) {
		room->memory_used += size;
		return;
	}
	err = file_put(spool, bytes, size, &ret_piece->at);
	if (!err) {
		ret_piece->bytes = NULL;
		free(bytes);
		return;
	}
	room->memory_used += size;
	if (!room->told)
		room->err = err;
	room->told = true;
}

const unsigned char *spool_get(const struct spool *spool, const struct piece *piece, unsigned char **buffer,
			       size_t *buffer_size)
{
	size_t got = 0;
	void *p;

	if (piece->bytes)
		return piece->bytes;
	if (*buffer_size < piece->size) {
		p = realloc(*buffer, piece->size);
		if (!p)
			return NULL;
		*buffer = p;
		*buffer_size = piece->size;
	}
	while (got < piece->size) {
		ssize_t n = pread(spool->fd, *buffer + got, piece->size - got, (off_t)(piece->at + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n < 0 ? errno : EIO;
			return NULL;
		}
		got += (size_t)n;
	}
	return *buffer;
}

static void file_drop(struct spool *spool, const struct piece *piece)
{
	spool->head = piece->at + piece->size;
	if (spool->end && spool->head == spool->end)
		spool->head = spool->end = 0;
	if (--spool->in_file)
		return;
	spool->head = spool->tail = spool->end = 0;
	if (ftruncate(spool->fd, 0) == 0)
		size_update(spool);
}

void spool_drop(struct spool *spool, struct piece *piece)
{
	if (piece->bytes)
		spool->room->memory_used -= piece->size;
	else
		file_drop(spool, piece);
	free(piece->bytes);
	piece->bytes = NULL;
	if (spool->room->memory_used <= spool->room->memory / 2)
		spool->room->told = false;
}

bool spool_full(const struct spool_room *room)
{
	return room->memory_used > room->memory;
}

bool spool_complaint(struct spool_room *room, struct error *ret_complaint)
{
	static const char meaning[] = "what is recorded until the collector has taken some of it is lost, and counted";
	int err = room->err;

	room->err = 0;
	if (!err)
		return false;
	if (err == -EFBIG)
		error_set(ret_complaint, err, "the spool is full (%llu bytes; --spool SIZE makes it larger): %s",
			  (unsigned long long)room->disk, meaning);
	else
		error_set(ret_complaint, err, "the spool in %s cannot be written: %s: %s", claim_base(),
			  err == -ENOSPC ? "the disk is full" : strerror(-err), meaning);
	return true;
}
