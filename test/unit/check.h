/*-------------------------------------------------------------------------
 *
 * check.h
 *	  Assertions of the unit tests.
 *
 * A failed check is reported with its place and the test goes on.  Each
 * program ends with "return check_report();", which prints one line "N passed,
 * N failed" and is the exit status.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdarg.h>
#include <stdio.h>

/* A broken kernel fails thousands of checks; the first ones say enough. */
#define CHECK_MAX_REPORTED 20

static long check_passed = 0;
static long check_failed = 0;

#if defined(__GNUC__)
__attribute__((format(printf, 4, 5)))
#endif
static inline int
check_condition(int holds, const char *file, int line, const char *format,...)
{
	va_list		arguments;

	if (holds)
	{
		check_passed++;
		return 1;
	}

	check_failed++;
	if (check_failed <= CHECK_MAX_REPORTED)
	{
		fprintf(stderr, "%s:%d: failed: ", file, line);
		va_start(arguments, format);
		vfprintf(stderr, format, arguments);
		va_end(arguments);
		fputc('\n', stderr);
	}
	return 0;
}

/* CHECK(condition): true if it holds. */
#define CHECK(condition) \
	check_condition((condition) ? 1 : 0, __FILE__, __LINE__, "%s", #condition)

/* CHECK_THAT(condition, format, ...): with a message of its own. */
#define CHECK_THAT(condition, ...) \
	check_condition((condition) ? 1 : 0, __FILE__, __LINE__, __VA_ARGS__)

static inline int
check_report(void)
{
	printf("%ld passed, %ld failed\n", check_passed, check_failed);
	return check_failed == 0 ? 0 : 1;
}

#endif							/* CHECK_H */
