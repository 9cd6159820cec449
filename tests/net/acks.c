/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * For test_kill.py, preloaded into bop and tfj: writes down what tfj is told to be acknowledged ("RUN NUMBER", one a
 * line, in $BOP_TEST_ACKS) before tfj itself hears of it. Reads the two fields of proto/control.proto's Ack by hand: the
 * test must not trust the code that it tests.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

static size_t varint(const unsigned char *p, size_t left, uint64_t *ret_value)
{
	*ret_value = 0;
	for (size_t i = 0; i < left && i < 10; i++) {
		*ret_value |= (uint64_t)(p[i] & 0x7f) << 7 * i;
		if (!(p[i] & 0x80))
			return i + 1;
	}
	return 0;
}

/* ToAgent.ack is field 3, and stands before the fields that follow it; Ack.run and Ack.number are fields 1 and 2. */
static void note(const unsigned char *p, size_t size)
{
	uint64_t length, value, field[3] = { 0 };
	const char *path = getenv("BOP_TEST_ACKS");
	char line[64];
	size_t n;
	int fd;

	if (!path || strcmp(program_invocation_short_name, "tfj") || size < 2 || p[0] != 0x1a)
		return;
	n = varint(p + 1, size - 1, &length);
	if (!n || length > size - 1 - n)
		return;
	for (p += 1 + n; length; p += n, length -= n) {
		unsigned tag = *p >> 3;

		n = 1 + varint(p + 1, length - 1, &value);
		if (n == 1 || tag > 2)
			return;
		field[tag] = value;
	}
	if (!field[1]) /* only says what was heard */
		return;
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	snprintf(line, sizeof(line), "%llu %llu\n", (unsigned long long)field[1], (unsigned long long)field[2]);
	if (fd < 0 || write(fd, line, strlen(line)) < 0)
		abort();
	close(fd);
}

int zmq_msg_recv(zmq_msg_t *message, void *socket, int flags)
{
	int (*real)(zmq_msg_t *, void *, int) = dlsym(RTLD_NEXT, "zmq_msg_recv");
	int n = real(message, socket, flags);

	if (n > 0)
		note(zmq_msg_data(message), n);
	return n;
}

int zmq_recv(void *socket, void *buffer, size_t size, int flags)
{
	int (*real)(void *, void *, size_t, int) = dlsym(RTLD_NEXT, "zmq_recv");
	int n = real(socket, buffer, size, flags);

	if (n > 0)
		note(buffer, (size_t)n < size ? (size_t)n : size);
	return n;
}
