/* A libnvidia-ml.so.1 with as many GPUs as FAKE_GPUS says, for machines that have none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { unsigned long long total, free, used; } memory_t;

int nvmlInitWithFlags(unsigned int flags) { return 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return "fake error"; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = atoi(getenv("FAKE_GPUS")); return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **handle) { *handle = (void *)(size_t)(index + 1); return 0; }
int nvmlDeviceGetUUID(void *handle, char *text, unsigned int size) { snprintf(text, size, "GPU-fake-%d", (int)(size_t)handle - 1); return 0; }
int nvmlDeviceGetName(void *handle, char *text, unsigned int size) { snprintf(text, size, "Fake GPU"); return 0; }
int nvmlDeviceGetMemoryInfo(void *handle, memory_t *memory) { memory->total = 8ull << 30; memory->free = memory->total; memory->used = 0; return 0; }
