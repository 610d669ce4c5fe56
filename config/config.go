// Package config is the settings of the program: plain structs, their defaults, loading and checking.
//
// A setting has one name, spelled three ways: storage.badger.path in YAML (nested), LUMINATE_STORAGE_BADGER_PATH in the
// environment and --storage.badger.path as a flag. Flags win over the environment, which wins over the YAML file, which
// wins over the defaults.
package config

import "time"

// Config holds all settings. Defaults returns the ones to start from.
type Config struct {
	Server      Server      `yaml:"server" doc:"The HTTP listener."`
	Auth        Auth        `yaml:"auth" doc:"Who may do what, and as which tenant."`
	Storage     Storage     `yaml:"storage" doc:"Where samples are kept."`
	Ingest      Ingest      `yaml:"ingest" doc:"What all writes together may cost, whatever their protocol."`
	RemoteWrite RemoteWrite `yaml:"remote_write" doc:"What Prometheus remote write may hold."`
	RemoteRead  RemoteRead  `yaml:"remote_read" doc:"What Prometheus remote read may cost."`
	Native      Native      `yaml:"native" doc:"What writes by the native JSON API may hold."`
	Query       Query       `yaml:"query" doc:"What queries may cost, PromQL and native ones."`
	Retention   Retention   `yaml:"retention" doc:"How long samples are kept."`
	SelfMetrics SelfMetrics `yaml:"self_metrics" doc:"The server's own metrics, written into its own store."`
	Memory      Memory      `yaml:"memory" doc:"How much memory the server takes. Unless the environment has GOMEMLIMIT, which Go itself knows, it is set at the start."`
	Log         Log         `yaml:"log" doc:"What the server says about itself, on standard error."`
}

// Server is the section server.
type Server struct {
	Listen            string   `yaml:"listen" doc:"Address to listen on, host:port. Without a host, all addresses. Port 0 takes a free one."`
	ReadHeaderTimeout Duration `yaml:"read_header_timeout" doc:"How long a client may take to send the headers of a request."`
	ReadTimeout       Duration `yaml:"read_timeout" doc:"How long a client may take to send a whole request."`
	WriteTimeout      Duration `yaml:"write_timeout" doc:"How long answering may take, from the end of the request's headers to the end of the answer. It must be longer than query.timeout."`
	IdleTimeout       Duration `yaml:"idle_timeout" doc:"How long a connection without a request is kept."`
	MaxHeaderBytes    Bytes    `yaml:"max_header_bytes" doc:"Largest size of the headers of a request; more is answered by 431."`
	MaxBodyBytes      Bytes    `yaml:"max_body_bytes" doc:"Largest size of a request's body, as sent; more is answered by 413."`
	MaxConnections    int      `yaml:"max_connections" doc:"Most connections that are open at once, and never more than half of the files that the process may open; others wait."`
	ShutdownDelay     Duration `yaml:"shutdown_delay" doc:"How long the server goes on serving after it was told to stop and is no longer ready, so that load balancers notice."`
	ShutdownTimeout   Duration `yaml:"shutdown_timeout" doc:"How long requests in flight may take to end when the server stops."`
	CORSOrigin        string   `yaml:"cors_origin" doc:"Regular expression of the origins whose pages may use the query API in a browser, matched as a whole, as Prometheus does. Empty allows none. Writing and administration are never opened to other origins."`
}

// Auth is the section auth.
type Auth struct {
	Mode          string     `yaml:"mode" doc:"How the tenant of a request is found: none (one tenant for all), header (the client names it and is believed) or jwt (a signed token says it)."`
	DefaultTenant string     `yaml:"default_tenant" doc:"The tenant of all requests in mode none, and of requests without a tenant header in mode header."`
	TenantHeader  string     `yaml:"tenant_header" doc:"One more header that names the tenant, beside X-Scope-OrgID and THANOS-TENANT."`
	Header        HeaderAuth `yaml:"header" doc:"Settings of mode header."`
	JWT           JWT        `yaml:"jwt" doc:"Settings of mode jwt."`
}

// HeaderAuth is the section auth.header.
type HeaderAuth struct {
	Admin           bool     `yaml:"admin" doc:"Whether requests may delete and administer. A header proves nothing about who sent it, so the default allows reading and writing only."`
	TrustedNetworks []string `yaml:"trusted_networks" doc:"Networks, such as 10.0.0.0/8, that requests may come from; all others are answered by 401. Empty means all."`
}

// JWT is the section auth.jwt.
type JWT struct {
	Secret       Secret   `yaml:"secret" doc:"The secret that tokens are signed with by HS256: at least 32 bytes. Give it by environment or file, not on a command line."`
	SecretFile   string   `yaml:"secret_file" doc:"A file that holds the secret; white space at its end is ignored."`
	Issuer       string   `yaml:"issuer" doc:"The issuer (iss) that tokens must name. Empty accepts any."`
	Audience     string   `yaml:"audience" doc:"The audience (aud) that tokens must name. Empty accepts any."`
	Leeway       Duration `yaml:"leeway" doc:"How far the clocks of issuer and server may differ; at most 30s."`
	TenantClaim  string   `yaml:"tenant_claim" doc:"The claim that names the tenant."`
	TenantsClaim string   `yaml:"tenants_claim" doc:"The claim that lists several tenants."`
	ScopesClaim  string   `yaml:"scopes_claim" doc:"The claim that lists the scopes, as a list or separated by spaces."`
}

// Storage is the section storage.
type Storage struct {
	Backend            string `yaml:"backend" doc:"badger (on this machine's disk) or memory (nothing is kept; for trying out)."`
	MaxExemplars       int    `yaml:"max_exemplars" doc:"Most exemplars that are kept of a tenant; old ones give way to new ones."`
	MaxMetadataBytes   Bytes  `yaml:"max_metadata_bytes" doc:"Most metadata (type, help and unit) that is kept of a tenant, with 128 bytes for each metric family. What comes on top is refused; samples are stored all the same. 0 means no limit."`
	SnapshotDir        string `yaml:"snapshot_dir" doc:"The directory on the server into which POST /api/v1/admin/tsdb/snapshot writes an archive of the tenant, best on another disk: nobody removes them, and each may be as large as the data. Empty means that there are no snapshots."`
	AllowLossyRecovery bool   `yaml:"allow_lossy_recovery" doc:"Start even if partitions, the catalog or the checkpoint are damaged: what can't be read is moved to quarantine, counted and logged. Without it the server refuses to start. Damage to the write-ahead log is always treated so."`
	Badger             Badger `yaml:"badger" doc:"Settings of backend badger."`
}

// Badger is the section storage.badger.
type Badger struct {
	Path              string   `yaml:"path" doc:"The data directory. It is created if it is not there, and belongs to one process at a time."`
	Fsync             string   `yaml:"fsync" doc:"When a write is acknowledged: always means when it is on disk. There is no other choice yet."`
	PartitionWidth    Duration `yaml:"partition_width" doc:"Span of time that is kept together and dropped at once. A store keeps the one that it was made with."`
	MaxHeadSamples    int      `yaml:"max_head_samples" doc:"Number of samples in memory at which they are moved to their long-term form. 0 means what suits GOMEMLIMIT: one for each 64 bytes of it, from 100000 to 32000000. If it is more than a million, few series have fewer, and many series more: 24 of each at least."`
	MaxHeadAge        Duration `yaml:"max_head_age" doc:"How long samples stay in memory at most."`
	MaxOpenPartitions int      `yaml:"max_open_partitions" doc:"Partitions that stay open while nobody reads them."`
	MaxPartitions     int      `yaml:"max_partitions" doc:"Most partitions of the store, each a directory of its own. Samples of times that would need one more are refused."`
	WALSegmentBytes   Bytes    `yaml:"wal_segment_bytes" doc:"Size of the files of the write-ahead log, a multiple of 32KiB, at least 16MiB."`
	MinFreeBytes      Bytes    `yaml:"min_free_bytes" doc:"Free space on the disk below which no writes are taken, until there is a tenth more; reads go on. Half of it is left free by the store's own work, too. 0 means that nobody looks."`
	MinFreePercent    int      `yaml:"min_free_percent" doc:"The same as a part of the disk, in percent; the larger one counts."`
	BallastBytes      Bytes    `yaml:"ballast_bytes" doc:"Size of a file that keeps space for a full disk, at most 1 % of the disk. When the disk is full it goes, so that the store can write what is in memory and let go of its log; it comes back when there is space. 0 means none."`

	ScrubInterval       Duration `yaml:"scrub_interval" doc:"How often all partitions are read in the background to see whether they still can be; what can't is logged and counted. 0s means never."`
	ScrubBytesPerSecond Bytes    `yaml:"scrub_bytes_per_second" doc:"How fast that is. 0 means as fast as it goes."`
}

// Ingest is the section ingest.
type Ingest struct {
	MaxInFlightBytes Bytes `yaml:"max_in_flight_bytes" doc:"Most memory that the write requests being served take together, estimated from the size of their bodies and the number of their series and samples; more is answered by 503 with Retry-After, and senders come again. 0 means an eighth of GOMEMLIMIT, from 64MiB to 1GiB; 512MiB without a limit."`
}

// RemoteWrite is the section remote_write.
type RemoteWrite struct {
	MaxBodyBytes    Bytes    `yaml:"max_body_bytes" doc:"Largest size of a request's body as sent; more is answered by 413."`
	MaxDecodedBytes Bytes    `yaml:"max_decoded_bytes" doc:"Largest size of a request's body after decompression; more is answered by 400."`
	MaxItems        int      `yaml:"max_items" doc:"Most series, samples, histograms, exemplars, symbols and metadata in a request together."`
	MaxLabelBytes   Bytes    `yaml:"max_label_bytes" doc:"Most bytes of labels and metadata in a request of version 2.0 with their symbols put in: a small body may stand for a lot of them. More is answered by 400."`
	Timeout         Duration `yaml:"timeout" doc:"How long a write may take. It should be shorter than the senders' remote_timeout."`
	Limits          Limits   `yaml:"limits" doc:"What is refused of a remote write. UTF-8 names, NaN and infinite values are taken, as Prometheus sends them. 0 means no limit."`
}

// RemoteRead is the section remote_read.
type RemoteRead struct {
	MaxRequestBytes Bytes    `yaml:"max_request_bytes" doc:"Largest size of a request, before and after decompression."`
	MaxMatchers     int      `yaml:"max_matchers" doc:"Most queries and matchers in a request together."`
	MaxRegexpBytes  Bytes    `yaml:"max_regexp_bytes" doc:"Most bytes of regular expressions in a request together. They take up to 500 times their length in memory."`
	MaxSamples      int      `yaml:"max_samples" doc:"Most samples in an answer of type SAMPLES. Streamed answers have no such limit."`
	MaxFrameBytes   Bytes    `yaml:"max_frame_bytes" doc:"Size at which an answer of type STREAMED_XOR_CHUNKS starts a new frame."`
	MaxConcurrent   int      `yaml:"max_concurrent" doc:"How many remote reads run at once; others wait."`
	MaxWait         Duration `yaml:"max_wait" doc:"How long a remote read waits for its turn."`
	MaxStall        Duration `yaml:"max_stall" doc:"How long a client may take for each MiB of its answer, or each frame. If it is slower its connection is cut, and its turn is another's. All of the answer has the time of server.write_timeout."`
}

// Native is the section native.
type Native struct {
	MaxBodyBytes     Bytes  `yaml:"max_body_bytes" doc:"Largest size of a request's body as sent; more is answered by 413."`
	MaxDecodedBytes  Bytes  `yaml:"max_decoded_bytes" doc:"Largest size of a request's body after decompression; more is answered by 413."`
	MaxItems         int    `yaml:"max_items" doc:"Most metrics in a write."`
	BackupAllTenants bool   `yaml:"backup_all_tenants" doc:"Whether a request with the scope admin for one tenant may back up the data of all tenants. In modes none and header that is anybody who may administer."`
	Limits           Limits `yaml:"limits" doc:"What is refused of a native write. Names must match ^[a-zA-Z_][a-zA-Z0-9_]*$ and values must be finite in any case. 0 means no limit."`
}

// Limits are the sections remote_write.limits and native.limits.
type Limits struct {
	MaxNameLength     int      `yaml:"max_name_length" doc:"Longest metric or dimension name in bytes."`
	MaxValueLength    int      `yaml:"max_value_length" doc:"Longest dimension value in bytes."`
	MaxDimensions     int      `yaml:"max_dimensions" doc:"Most dimensions of a series, the metric name not counted."`
	MaxExemplarLength int      `yaml:"max_exemplar_length" doc:"Most characters in the labels of an exemplar."`
	MaxAge            Duration `yaml:"max_age" doc:"How far a timestamp may lie in the past, never further than retention.period. 0s means no other limit."`
	MaxAhead          Duration `yaml:"max_ahead" doc:"How far a timestamp may lie in the future."`
}

// Query is the section query.
type Query struct {
	Timeout            Duration `yaml:"timeout" doc:"Longest time that a query may take, waiting included. A client may ask for less."`
	MaxConcurrent      int      `yaml:"max_concurrent" doc:"How many PromQL queries run at once, and as many native ones; others wait."`
	MaxLookups         int      `yaml:"max_concurrent_lookups" doc:"How many requests of the Prometheus API for series, labels, metadata, exemplars, cardinality and federation run at once; others wait, no longer than timeout."`
	MaxSamples         int      `yaml:"max_samples" doc:"Most samples that a PromQL query may hold in memory at once, or that a native query may read."`
	MaxSamplesTotal    int      `yaml:"max_samples_total" doc:"Most samples that all running queries and remote reads may hold in memory at once; a query that would need more is answered by 503 with Retry-After, unless it runs alone. A series counts with what was read of it or with the steps of the query, whichever is more. 0 means what suits GOMEMLIMIT: one for each 64 bytes of it, from 10000000 to 200000000."`
	MaxPoints          int      `yaml:"max_points" doc:"Most steps of a query over a range."`
	MaxFormBytes       Bytes    `yaml:"max_form_bytes" doc:"Largest size of the form of a POST to the Prometheus API."`
	MaxExpressionBytes Bytes    `yaml:"max_expression_bytes" doc:"Longest PromQL expression, or all match[] selectors of a request together. Regular expressions take up to 500 times their length in memory."`
	MaxSubquerySteps   int      `yaml:"max_subquery_steps" doc:"Most steps of a subquery, over the whole range that its query asks for."`
	MaxOperators       int      `yaml:"max_operators" doc:"Most operators, parentheses and brackets in a PromQL expression."`
	MaxExemplars       int      `yaml:"max_exemplars" doc:"Most exemplars in an answer."`
	LookbackDelta      Duration `yaml:"lookback_delta" doc:"How long the last sample of a series counts as its present value. A client may ask for another."`
	StableOnly         bool     `yaml:"stable_only" doc:"Refuse what Prometheus has behind feature flags: experimental functions, fill modifiers, anchored and smoothed selectors."`
	DelayedNameRemoval bool     `yaml:"delayed_name_removal" doc:"Drop metric names at the end of a query only, an experiment of Prometheus that changes labels of some answers."`
	Planner            bool     `yaml:"planner" doc:"Have the store evaluate functions of ranges and aggregations of PromQL where it can. Answers are the same without it, later."`
	UseStartTimestamps bool     `yaml:"use_start_timestamps" doc:"Let rate() and its kin look at when a counter began, an experiment of Prometheus that changes some values."`
	MaxGroups          int      `yaml:"max_groups" doc:"Most groups that a native query may ask for."`
	MaxValues          int      `yaml:"max_values" doc:"Most values in the answer to a native query: groups times functions times steps."`
	MaxRange           Duration `yaml:"max_range" doc:"Longest time from start to end of a native query. 0s means no limit."`
	MaxNames           int      `yaml:"max_names" doc:"Most names or values in the answer to a native discovery request."`
}

// Retention is the section retention.
type Retention struct {
	Period   Duration `yaml:"period" doc:"How long samples are kept. Whole days are dropped when all of their samples are older. 0s keeps everything."`
	Interval Duration `yaml:"interval" doc:"How often the server looks for days to drop."`

	Tenants TenantDurations `yaml:"tenants" doc:"How long samples of some tenants are kept, where that is shorter than period: a map, or in flags and the environment a=30d,b=7d. What is older is hidden at once, and its space is reclaimed when it is a good part of a day. For backend badger."`
}

// SelfMetrics is the section self_metrics.
type SelfMetrics struct {
	Enabled  bool     `yaml:"enabled" doc:"Whether the server writes its own metrics into its own store."`
	Interval Duration `yaml:"interval" doc:"How often."`
	Tenant   string   `yaml:"tenant" doc:"The tenant that owns them."`
	Instance string   `yaml:"instance" doc:"Their label instance. Empty means the host name and the port."`
}

// Memory is the section memory.
type Memory struct {
	Limit Bytes   `yaml:"limit" doc:"Memory that the server may take. 0 means that of its control group (container) or, if that has no limit, of the machine."`
	Ratio float64 `yaml:"ratio" doc:"The part of it that GOMEMLIMIT is set to; the rest is for what the garbage collector does not see. Greater than 0, at most 1."`
}

// Log is the section log.
type Log struct {
	Level  string `yaml:"level" doc:"The least that is logged: debug (every request), info, warn or error."`
	Format string `yaml:"format" doc:"text, json, or auto: text on a terminal and json elsewhere."`
}

// The authentication modes.
const (
	AuthNone   = "none"
	AuthHeader = "header"
	AuthJWT    = "jwt"
)

// The storage backends.
const (
	BackendBadger     = "badger"
	BackendMemory     = "memory"
	BackendClickHouse = "clickhouse"
)

// Defaults returns the settings of a server that nobody configured.
func Defaults() *Config {
	const day = 24 * time.Hour
	return &Config{
		Server: Server{
			Listen:            ":8080",
			ReadHeaderTimeout: Duration(5 * time.Second),
			ReadTimeout:       Duration(time.Minute),
			WriteTimeout:      Duration(5 * time.Minute),
			IdleTimeout:       Duration(2 * time.Minute),
			MaxHeaderBytes:    32 << 10,
			MaxBodyBytes:      32 << 20,
			MaxConnections:    10_000,
			ShutdownTimeout:   Duration(20 * time.Second),
			CORSOrigin:        ".*",
		},
		Auth: Auth{
			Mode: AuthHeader, DefaultTenant: "default",
			JWT: JWT{
				Leeway: Duration(10 * time.Second), TenantClaim: "tenant", TenantsClaim: "tenants", ScopesClaim: "scopes",
			},
		},
		Storage: Storage{Backend: BackendBadger, MaxExemplars: 100_000, MaxMetadataBytes: 32 << 20, Badger: Badger{
			Path: "data/badger", Fsync: "always", PartitionWidth: Duration(day),
			MaxHeadAge: Duration(2 * time.Hour), MaxOpenPartitions: 8, MaxPartitions: 2000, WALSegmentBytes: 64 << 20, MinFreeBytes: 256 << 20,
			MinFreePercent: 1, BallastBytes: 256 << 20, ScrubInterval: Duration(day), ScrubBytesPerSecond: 8 << 20,
		}},
		RemoteWrite: RemoteWrite{
			MaxBodyBytes: 32 << 20, MaxDecodedBytes: 32 << 20, MaxItems: 2_000_000, MaxLabelBytes: 64 << 20,
			Timeout: Duration(25 * time.Second),
			Limits: Limits{
				MaxNameLength: 1024, MaxValueLength: 16384, MaxDimensions: 128, MaxExemplarLength: 128,
				MaxAhead: Duration(10 * time.Minute),
			},
		},
		RemoteRead: RemoteRead{
			MaxRequestBytes: 32 << 20, MaxMatchers: 1000, MaxRegexpBytes: 256 << 10, MaxSamples: 50_000_000, MaxFrameBytes: 1 << 20, MaxConcurrent: 10,
			MaxWait: Duration(20 * time.Second), MaxStall: Duration(10 * time.Second),
		},
		Native: Native{
			MaxBodyBytes: 16 << 20, MaxDecodedBytes: 32 << 20, MaxItems: 100_000,
			Limits: Limits{
				MaxNameLength: 256, MaxValueLength: 2048, MaxDimensions: 20, MaxExemplarLength: 128,
				MaxAge: Duration(7 * day), MaxAhead: Duration(time.Hour),
			},
		},
		Query: Query{
			Timeout: Duration(2 * time.Minute), MaxConcurrent: 20, MaxLookups: 40, MaxSamples: 50_000_000, MaxPoints: 11_000,
			MaxFormBytes: 10 << 20, MaxExpressionBytes: 128 << 10, MaxSubquerySteps: 2_500_000, MaxOperators: 5_000, MaxExemplars: 100_000, LookbackDelta: Duration(5 * time.Minute), Planner: true,
			MaxGroups: 10_000, MaxValues: 5_000_000, MaxNames: 10_000,
		},
		Retention:   Retention{Interval: Duration(time.Minute)},
		SelfMetrics: SelfMetrics{Enabled: true, Interval: Duration(15 * time.Second), Tenant: "default"},
		Memory:      Memory{Ratio: 0.9},
		Log:         Log{Level: "info", Format: "auto"},
	}
}
