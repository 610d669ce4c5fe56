package badger

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// What can be damaged, as a label says it.
const (
	partCatalog    = "catalog"
	partCheckpoint = "checkpoint"
	partLog        = "log"
	partPartition  = "partition"
)

// took counts samples that were stored.
func (m *metrics) took(floats, histograms int) {
	if floats > 0 {
		m.floats.Add(float64(floats))
	}
	if histograms > 0 {
		m.histograms.Add(float64(histograms))
	}
}

// metrics are the figures of a store about itself.
type metrics struct {
	floats      prometheus.Counter
	histograms  prometheus.Counter
	fsync       prometheus.Histogram
	group       prometheus.Histogram
	flushes     *prometheus.CounterVec
	flushTime   prometheus.Histogram
	corruptions prometheus.Counter
	damaged     *prometheus.CounterVec
	quarantined prometheus.Counter
	lostRecords prometheus.Counter
	open        prometheus.Gauge
	failed      prometheus.Gauge

	scrubBytes   prometheus.Counter
	scrubDamages prometheus.Counter
	scrubDamaged prometheus.Gauge
	scrubbed     prometheus.Gauge

	registered []prometheus.Collector
	registerer prometheus.Registerer
}

func newMetrics(r prometheus.Registerer, s *Store) *metrics {
	f := promauto.With(r)
	appended := f.NewCounterVec(prometheus.CounterOpts{
		Name: "luminate_storage_appended_samples_total", Help: "Samples that were stored, by type.",
	}, []string{"type"})
	m := &metrics{
		floats: appended.WithLabelValues("float"), histograms: appended.WithLabelValues("histogram"),
		registerer: r,
		fsync: f.NewHistogram(prometheus.HistogramOpts{
			Name: "luminate_storage_wal_fsync_seconds", Help: "How long syncs of the write-ahead log took.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
		group: f.NewHistogram(prometheus.HistogramOpts{
			Name: "luminate_storage_wal_group_requests", Help: "Write requests that were made durable together.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
		flushes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "luminate_storage_flushes_total", Help: "Moves of the head into partitions, by result.",
		}, []string{"result"}),
		flushTime: f.NewHistogram(prometheus.HistogramOpts{
			Name: "luminate_storage_flush_seconds", Help: "How long moves of the head into partitions took.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 14),
		}),
		corruptions: f.NewCounter(prometheus.CounterOpts{
			Name: "luminate_storage_wal_corruptions_total", Help: "Unreadable parts that were found in the write-ahead log.",
		}),
		damaged: f.NewCounterVec(prometheus.CounterOpts{
			Name: "luminate_storage_corruptions_total", Help: "Damage that was met, by what is damaged: catalog, checkpoint, log or partition.",
		}, []string{"part"}),
		quarantined: f.NewCounter(prometheus.CounterOpts{
			Name: "luminate_storage_quarantined_partitions_total", Help: "Damaged partitions that were moved to quarantine.",
		}),
		lostRecords: f.NewCounter(prometheus.CounterOpts{
			Name: "luminate_storage_recovery_lost_records_total", Help: "Records of the write-ahead log that recovery missed.",
		}),
		open: f.NewGauge(prometheus.GaugeOpts{
			Name: "luminate_storage_open_partitions", Help: "Partitions that are open.",
		}),
		failed: f.NewGauge(prometheus.GaugeOpts{
			Name: "luminate_storage_failed", Help: "1 after a failed write to the log: the store takes nothing more.",
		}),
	}
	m.scrub(f)
	for _, result := range []string{"ok", "error"} {
		m.flushes.WithLabelValues(result)
	}
	for _, part := range []string{partCatalog, partCheckpoint, partLog, partPartition} {
		m.damaged.WithLabelValues(part)
	}
	m.registered = []prometheus.Collector{
		appended, m.fsync, m.group, m.flushes, m.flushTime, m.corruptions, m.damaged, m.quarantined, m.lostRecords, m.open, m.failed,
		m.scrubBytes, m.scrubDamages, m.scrubDamaged, m.scrubbed,
		f.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "luminate_storage_head_series", Help: "Series in memory.",
		}, func() float64 { series, _ := s.headSize(); return float64(series) }),
		f.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "luminate_storage_head_samples", Help: "Samples in memory.",
		}, func() float64 { _, samples := s.headSize(); return float64(samples) }),
		f.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "luminate_storage_head_bytes", Help: "Memory of series and samples outside the Go heap.",
		}, func() float64 { return float64(s.OffHeap()) }),
		f.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "luminate_storage_free_bytes", Help: "Free space on the disk of the data directory.",
		}, func() float64 { _, free := s.guard.state(); return float64(free) }),
		f.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "luminate_storage_read_only", Help: "1 while the store takes no writes because the disk is full.",
		}, func() float64 {
			if readOnly, _ := s.guard.state(); readOnly {
				return 1
			}
			return 0
		}),
	}
	return m
}

// met counts damage.
func (m *metrics) met(part string) { m.damaged.WithLabelValues(part).Inc() }

// scrub makes the figures of the scrubber.
func (m *metrics) scrub(f promauto.Factory) {
	m.scrubBytes = f.NewCounter(prometheus.CounterOpts{
		Name: "luminate_storage_scrub_read_bytes_total", Help: "Bytes of entries that were read only to see whether they can be.",
	})
	m.scrubDamages = f.NewCounter(prometheus.CounterOpts{
		Name: "luminate_storage_scrub_damages_total", Help: "Damages in partitions that were found by reading them again; the same ones at each pass.",
	})
	m.scrubDamaged = f.NewGauge(prometheus.GaugeOpts{
		Name: "luminate_storage_scrub_damages", Help: "Damages in partitions that the last complete pass found.",
	})
	m.scrubbed = f.NewGauge(prometheus.GaugeOpts{
		Name: "luminate_storage_scrub_last_completed_timestamp_seconds", Help: "When all partitions had been read again for the last time.",
	})
}

// unregister makes room for another store.
func (m *metrics) unregister() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.registered {
		m.registerer.Unregister(c)
	}
}

func (m *metrics) synced(took time.Duration) { m.fsync.Observe(took.Seconds()) }
