package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Usage is what a process has taken of the machine, as Linux tells it.
type Usage struct {
	CPU  time.Duration // User and system time of all its threads, in steps of 10 ms.
	RSS  int64         // Bytes in memory now.
	Peak int64         // Most bytes in memory since the start, or since ResetPeak.
}

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// UsageOf looks at a process.
func UsageOf(pid int) (Usage, error) {
	var u Usage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, fmt.Errorf("process: usage: %w", err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, fmt.Errorf("process: usage: %w", err)
	}
	// The name, in parentheses, may hold anything. Fields 14 and 15 are the times.
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return u, fmt.Errorf("process: usage: /proc/%d/stat has %d fields", pid, len(fields))
	}
	for _, f := range fields[11:13] {
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return u, fmt.Errorf("process: usage: %w", err)
		}
		u.CPU += time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100.
	}
	for line := range strings.Lines(string(status)) {
		name, rest, _ := strings.Cut(line, ":")
		var kib int64
		switch name {
		case "VmRSS", "VmHWM":
			if _, err := fmt.Sscan(rest, &kib); err != nil {
				return u, fmt.Errorf("process: usage: %s: %w", name, err)
			}
		}
		switch name {
		case "VmRSS":
			u.RSS = kib << 10
		case "VmHWM":
			u.Peak = kib << 10
		}
	}
	return u, nil
}

// ResetPeak lets the peak of a process begin anew. That takes the same user or root.
func ResetPeak(pid int) error {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		return fmt.Errorf("process: reset the peak: %w", err)
	}
	return nil
}

// DiskUsage sums the blocks that the files below dir take, each file once however many names it has. Files that go away
// meanwhile count nothing.
func DiskUsage(dir string) (int64, error) {
	type inode struct{ dev, ino uint64 }
	seen := map[inode]bool{}
	var sum int64
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreGone(err)
		}
		info, err := d.Info()
		if err != nil {
			return ignoreGone(err)
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || seen[inode{st.Dev, st.Ino}] {
			return nil
		}
		seen[inode{st.Dev, st.Ino}] = true
		sum += st.Blocks * 512
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("process: disk usage: %w", err)
	}
	return sum, nil
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
