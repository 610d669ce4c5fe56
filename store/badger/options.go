package badger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store/badger/wal"
	"github.com/luminate-metrics/luminate/store/series"
	"github.com/luminate-metrics/luminate/tenancy"
)

// FsyncAlways is the policy that acknowledges a write when it is on disk. It is the only one.
const FsyncAlways = "always"

// Defaults of Options.
const (
	DefaultPartitionWidth = 24 * time.Hour
	DefaultMaxHeadSamples = 32_000_000
	DefaultMaxHeadAge     = 2 * time.Hour
	DefaultMaxOpen        = 8
	DefaultMaxPartitions  = 2000
	DefaultMinFreeBytes   = 256 << 20
)

// Options says where a store is and how it behaves. Dir is required; other zero values mean the defaults.
type Options struct {
	Dir    string        // Created if it does not exist.
	Hasher metric.Hasher // What identifies series in memory. Batches of another hasher are hashed again.

	PartitionWidth time.Duration // Of new stores; an old one keeps its own. At least a second.
	Retention      time.Duration // Samples older than this are refused, and removed by whole partitions; 0 means never.
	// TenantRetention is the same for some tenants, where it is shorter: what is older is hidden at once, and its space is
	// reclaimed when that is worth it.
	TenantRetention map[tenancy.ID]time.Duration
	FsyncPolicy     string // "always", which is the default.

	// MaxHeadSamples is the samples in memory at which they are moved to disk. If it is more than a million, fewer are
	// enough of few series, and more may be of many: 24 of each.
	MaxHeadSamples    int64
	MaxHeadBytes      int64         // The same in bytes of memory that samples take; 0 means any number.
	MaxHeadAge        time.Duration // How long samples stay in memory at most.
	MaxOpenPartitions int           // Partitions that stay open while nobody reads them.
	MaxPartitions     int           // Of the store; samples that would need one more are refused.
	MaxExemplars      int           // Of a tenant; 0 means series.DefaultMaxExemplars.
	WALSegmentBytes   int           // A multiple of 32 KiB; 0 means wal.DefaultSegmentBytes.

	// MinFreeBytes is the free space on the disk below which the store takes no writes; -1 means that it does not look.
	MinFreeBytes int64

	// MinFreePercent is the same as a part of the disk; the larger one counts. Half of it is kept free in any case.
	MinFreePercent int

	// BallastBytes is the size of a file that is removed when the disk is full, so that the store can help itself; at most
	// 1 % of the disk. 0 means none.
	BallastBytes int64

	// ScrubInterval is how often all partitions are read to see whether they still can be; 0 means never. At most
	// ScrubBytesPerSecond are read in a second; 0 means no bound.
	ScrubInterval       time.Duration
	ScrubBytesPerSecond int64

	// AllowLossyRecovery makes Open go on when partitions are damaged: they are moved to quarantine. All are verified.
	AllowLossyRecovery bool

	Logger     *slog.Logger          // nil means none.
	Registerer prometheus.Registerer // nil means none.
	Now        func() time.Time      // nil means time.Now.

	hooks hooks
}

// hooks are for tests.
type hooks struct {
	inGoHeap bool                                             // Shows the race detector what is in memory.
	wrapLog  func(wal.Segments) wal.Segments                  // Injects faults.
	crash    func(at string)                                  // Called between the steps of maintenance.
	free     func(dir string) (free, total int64, err error)  // Stands in for freeBytes.
	wait     func(ctx context.Context, d time.Duration) error // Stands in for wait.
}

func (o *Options) setDefaults() error {
	var problems []error
	if o.Dir == "" {
		problems = append(problems, errors.New("the directory is not set"))
	}
	if o.FsyncPolicy != "" && o.FsyncPolicy != FsyncAlways {
		problems = append(problems, fmt.Errorf("fsync policy %q is unknown: the only one is %q", o.FsyncPolicy, FsyncAlways))
	}
	if o.PartitionWidth != 0 && o.PartitionWidth < time.Second {
		problems = append(problems, fmt.Errorf("partition width %v is too small: it is at least 1s", o.PartitionWidth))
	}
	if o.Retention < 0 {
		problems = append(problems, fmt.Errorf("retention %v is negative: 0 keeps everything", o.Retention))
	}
	for id, d := range o.TenantRetention {
		if d <= 0 {
			problems = append(problems, fmt.Errorf("retention %v of tenant %s is not positive", d, id))
		}
	}
	if o.WALSegmentBytes != 0 && (o.WALSegmentBytes < wal.LeastSegmentBytes || o.WALSegmentBytes%(32<<10) != 0) {
		problems = append(problems, fmt.Errorf("segments of %d bytes are not possible: take a multiple of 32 KiB from %d on", o.WALSegmentBytes, wal.LeastSegmentBytes))
	}
	setDefault(&o.FsyncPolicy, FsyncAlways)
	setDefault(&o.PartitionWidth, DefaultPartitionWidth)
	setDefault(&o.MaxHeadSamples, DefaultMaxHeadSamples)
	setDefault(&o.MaxHeadAge, DefaultMaxHeadAge)
	setDefault(&o.MaxOpenPartitions, DefaultMaxOpen)
	setDefault(&o.MaxPartitions, DefaultMaxPartitions)
	setDefault(&o.MaxExemplars, series.DefaultMaxExemplars)
	setDefault(&o.MinFreeBytes, DefaultMinFreeBytes)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.hooks.free == nil {
		o.hooks.free = freeBytes
	}
	if o.hooks.wait == nil {
		o.hooks.wait = wait
	}
	if o.hooks.crash == nil {
		o.hooks.crash = func(string) {}
	}
	return errors.Join(problems...)
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}
