"""Paths of this machine's system that an evaluation sees, whatever confines it."""

from __future__ import annotations

__all__ = ["ETC", "ETC_OF_ERRAND", "ETC_OF_GPU", "GPU_DEVICES", "SYSTEM", "USR_MERGED"]

SYSTEM = ["/usr", "/nix/store", "/gnu/store", "/run/current-system", "/run/opengl-driver"]
USR_MERGED = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"]
"""Links into /usr on most machines, folders on others."""
ETC = ["/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives"]
"""Few, since each takes a mount of 0.2 ms: the linker's cache, the time zone, and the target of links such as
/usr/bin/cc."""
ETC_OF_ERRAND = ["/etc/passwd", "/etc/group", "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/gai.conf"]
ETC_OF_ERRAND += ["/etc/ssl", "/etc/pki", "/etc/ca-certificates"]
"""What everybody may read, and what a program of a person looks up: users, names of hosts, certificates."""
ETC_OF_GPU = ["/etc/OpenCL", "/etc/vulkan"]
GPU_DEVICES = ["/dev/nvidia*", "/dev/dri", "/dev/kfd", "/dev/dxg"]
