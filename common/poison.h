/* Included before every file: calls that have no place in this house do not compile. */
#ifndef WEIR_POISON_H
#define WEIR_POISON_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets

#endif
