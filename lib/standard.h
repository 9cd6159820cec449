/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Descriptors 0, 1 and 2 of a program that was started without some of them. */
#ifndef LIB_STANDARD_H
#define LIB_STANDARD_H

#include <fcntl.h>
#include <unistd.h>

/*
 * First of all in main(): no file or socket of ours gets the number of one that is closed, and with it what is printed. Reading from
 * there finds the end, writing fails with EBADF as it would have.
 */
static inline void standard_fill(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

#endif
