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

typedef struct { unsigned int gpu, memory; } utilization_t;

/* An H100 SXM at work; FAKE_QUIET=1 is a card that tells no more than its name and memory. */
static int told(void) { return getenv("FAKE_QUIET") ? 3 /* not supported */ : 0; }
int nvmlDeviceGetUtilizationRates(void *handle, utilization_t *rates) { rates->gpu = 87; rates->memory = 41; return told(); }
int nvmlDeviceGetPowerUsage(void *handle, unsigned int *milliwatts) { *milliwatts = 412500; return told(); }
int nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned int *milliwatts) { *milliwatts = 700000; return told(); }
int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned int *celsius) { *celsius = 67; return told(); }
int nvmlDeviceGetTemperatureV(void *handle, void *temperature) { ((int *)temperature)[2] = 67; return told(); }
int nvmlDeviceGetMaxClockInfo(void *handle, int clock, unsigned int *mhz) { *mhz = clock == 2 ? 2619 : 1980; return told(); }
int nvmlDeviceGetNumGpuCores(void *handle, unsigned int *cores) { *cores = 16896; return told(); }
int nvmlDeviceGetMemoryBusWidth(void *handle, unsigned int *bits) { *bits = 5120; return told(); }
int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor) { *major = 9; *minor = 0; return told(); }
