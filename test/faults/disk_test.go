package faults_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Values of EXT4_IOC_SHUTDOWN.
const (
	shutdownRequest    = 0x8004587d
	shutdownNoLogFlush = 2
)

// A disk is a file system of its own. It goes away at the end of the test.
type disk struct {
	dir   string
	image string // "" for a tmpfs.
}

// needMounts skips the test where nothing can be mounted. Everything else about disks fails the test.
func needMounts(t *testing.T) {
	t.Helper()
	missing := ""
	switch {
	case os.Getenv(insideVariable) == "":
		missing = "this process may not make a mount namespace (it takes root, or CAP_SYS_ADMIN)"
	case unix.Access("/dev/loop-control", unix.W_OK) != nil:
		missing = "there are no loop devices: /dev/loop-control can't be written"
	}
	for _, program := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(program); err != nil && missing == "" {
			missing = err.Error()
		}
	}
	if missing != "" {
		fmt.Fprintf(os.Stderr, "\n*** %s IS SKIPPED: %s ***\n*** What it tests is NOT tested on this machine. ***\n\n", t.Name(), missing)
		t.Skip(missing)
	}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// newExt4 mounts an image of its own.
func newExt4(t *testing.T, bytes int64) *disk {
	t.Helper()
	d := &disk{dir: filepath.Join(t.TempDir(), "disk"), image: filepath.Join(t.TempDir(), "image")}
	f, err := os.Create(d.image)
	if err == nil {
		err = errors.Join(f.Truncate(bytes), f.Close(), os.Mkdir(d.dir, 0o700))
	}
	if err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", "-F", "-m", "0", d.image)
	t.Cleanup(func() { _ = unix.Unmount(d.dir, unix.MNT_DETACH) })
	d.mount(t)
	return d
}

// newTmpfs mounts a file system in memory.
func newTmpfs(t *testing.T, bytes int64) *disk {
	t.Helper()
	d := &disk{dir: filepath.Join(t.TempDir(), "disk")}
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(d.dir, unix.MNT_DETACH) })
	run(t, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", bytes), "tmpfs", d.dir)
	return d
}

// mount mounts the image. The loop device goes with the mount.
func (d *disk) mount(t *testing.T) {
	t.Helper()
	run(t, "mount", "-t", "ext4", "-o", "loop", d.image, d.dir)
}

// cut makes the disk forget what is not durable, and refuse everything from now on.
func (d *disk) cut(t *testing.T) {
	t.Helper()
	f, err := os.Open(d.dir)
	if err == nil {
		err = errors.Join(unix.IoctlSetPointerInt(int(f.Fd()), shutdownRequest, shutdownNoLogFlush), f.Close())
	}
	if err != nil {
		t.Fatalf("shut %s down: %v", d.dir, err)
	}
}

// remount is what the next start of the machine does. Nobody may use the disk.
func (d *disk) remount(t *testing.T) {
	t.Helper()
	run(t, "umount", d.dir)
	d.mount(t)
}

func (d *disk) free(t *testing.T) int64 {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(d.dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}

// fill takes space until that much is left, with a file of the given name.
func (d *disk) fill(t *testing.T, name string, left int64) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(d.dir, name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	size := info.Size()
	for chunk := int64(1 << 20); chunk >= 4<<10; {
		if d.free(t)-chunk < left || unix.Fallocate(int(f.Fd()), 0, size, chunk) != nil {
			chunk /= 2 // The file system's own blocks take space, too.
			continue
		}
		size += chunk
	}
}

// vacate gives the space back.
func (d *disk) vacate(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(d.dir, name)); err != nil {
		t.Fatal(err)
	}
}
