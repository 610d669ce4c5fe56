package promql

import (
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
)

// Status is what the status endpoints tell about the program. It must hold no secrets.
type Status struct {
	Build     Build
	Started   time.Time
	Retention string            // As a person would write it, such as "15d"; may be empty.
	Flags     map[string]string // Settings by name.
	Config    func() string     // The configuration as YAML, with secrets taken out; nil means none is shown.
}

// Build says what was built.
type Build struct {
	Version   string // A semantic version. Anything else, such as "dev", is shown as the lowest version.
	Revision  string
	Branch    string
	User      string
	Date      string
	GoVersion string // "" means the running one.
}

// lowestVersion is what a build without a version says: Grafana compares versions and knows plain numbers only.
const lowestVersion = "0.1.0"

var semver = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)

// plainVersion returns v as a semantic version.
func plainVersion(v string) string {
	v = strings.TrimPrefix(v, "v")
	if !semver.MatchString(v) {
		return lowestVersion
	}
	return v
}

// buildInfo tells the version. There is no member "features": with one, Grafana would ask for Mimir's ruler.
func (a *API) buildInfo(*request) (*answer, error) {
	b := a.status.Build
	if b.GoVersion == "" {
		b.GoVersion = runtime.Version()
	}
	return document(struct {
		Version     string `json:"version"`
		Revision    string `json:"revision"`
		Branch      string `json:"branch"`
		BuildUser   string `json:"buildUser"`
		BuildDate   string `json:"buildDate"`
		GoVersion   string `json:"goVersion"`
		Application string `json:"application"`
	}{plainVersion(b.Version), b.Revision, b.Branch, b.User, b.Date, b.GoVersion, "Luminate"})
}

// runtimeInfo has all members that clients know, but says nothing about the machine that a tenant need not know.
type runtimeInfo struct {
	StartTime           time.Time `json:"startTime"`
	CWD                 string    `json:"CWD"`
	Hostname            string    `json:"hostname"`
	ServerTime          time.Time `json:"serverTime"`
	ReloadConfigSuccess bool      `json:"reloadConfigSuccess"`
	LastConfigTime      time.Time `json:"lastConfigTime"`
	CorruptionCount     int64     `json:"corruptionCount"`
	GoroutineCount      int       `json:"goroutineCount"`
	GOMAXPROCS          int       `json:"GOMAXPROCS"`
	GOMEMLIMIT          int64     `json:"GOMEMLIMIT"`
	GOGC                string    `json:"GOGC"`
	GODEBUG             string    `json:"GODEBUG"`
	StorageRetention    string    `json:"storageRetention"`
}

func (a *API) runtimeInfo(*request) (*answer, error) {
	return document(runtimeInfo{
		StartTime:           a.status.Started.UTC(),
		ServerTime:          a.now().UTC(),
		ReloadConfigSuccess: true,
		LastConfigTime:      a.status.Started.UTC(),
		GoroutineCount:      runtime.NumGoroutine(),
		GOMAXPROCS:          runtime.GOMAXPROCS(0),
		GOMEMLIMIT:          debug.SetMemoryLimit(-1),
		GOGC:                os.Getenv("GOGC"),
		GODEBUG:             os.Getenv("GODEBUG"),
		StorageRetention:    a.status.Retention,
	})
}

// flags tells the settings to an administrator, and nothing to a tenant.
func (a *API) flags(req *request) (*answer, error) {
	flags := a.status.Flags
	if flags == nil || !req.admin {
		flags = map[string]string{}
	}
	return document(flags)
}

// config tells the configuration to an administrator, and nothing to a tenant.
func (a *API) config(req *request) (*answer, error) {
	var yaml string
	if a.status.Config != nil && req.admin {
		yaml = a.status.Config()
	}
	return document(map[string]string{"yaml": yaml})
}

// walReplay says that nothing is being replayed: requests are served only afterwards.
func (a *API) walReplay(*request) (*answer, error) {
	return document(struct {
		Min     int `json:"min"`
		Max     int `json:"max"`
		Current int `json:"current"`
	}{})
}

// blocks lists no blocks: samples are not kept in them.
func (a *API) blocks(*request) (*answer, error) { return document(object{"blocks": empty()}) }

// A rank is a line of a ranking.
type rank struct {
	Name  string `json:"name"`
	Value int64  `json:"value"`
}

func ranks(list []store.Rank) []rank {
	out := make([]rank, len(list))
	for i, r := range list {
		out[i] = rank{r.Key, r.Count}
	}
	return out
}

type headStats struct {
	NumSeries     int64 `json:"numSeries"`
	NumLabelPairs int64 `json:"numLabelPairs"`
	ChunkCount    int64 `json:"chunkCount"`
	MinTime       int64 `json:"minTime"`
	MaxTime       int64 `json:"maxTime"`
}

type tsdbStatus struct {
	HeadStats                   headStats `json:"headStats"`
	SeriesCountByMetricName     []rank    `json:"seriesCountByMetricName"`
	LabelValueCountByLabelName  []rank    `json:"labelValueCountByLabelName"`
	MemoryInBytesByLabelName    []rank    `json:"memoryInBytesByLabelName"`
	SeriesCountByLabelValuePair []rank    `json:"seriesCountByLabelValuePair"`
}

// tsdb tells where the tenant's series come from.
func (a *API) tsdb(req *request) (*answer, error) {
	const maxTop = 10000
	top := 10
	if v := req.FormValue("limit"); v != "" {
		var err error
		if top, err = strconv.Atoi(v); err != nil || top < 1 {
			return nil, problem.New(problem.Invalid, "limit must be a positive number")
		}
		if top > maxTop {
			return nil, problem.New(problem.Invalid, "limit must not exceed %d", maxTop)
		}
	}
	c, err := req.tenant.Cardinality(req.Context(), store.CardinalityQuery{Range: store.AllTime(), Top: top})
	if err != nil {
		return nil, err
	}
	return document(tsdbStatus{
		HeadStats: headStats{
			NumSeries: c.Series, NumLabelPairs: c.LabelPairs, MinTime: c.Range.Min, MaxTime: c.Range.Max,
		},
		SeriesCountByMetricName:     ranks(c.ByName),
		LabelValueCountByLabelName:  ranks(c.ByDimension),
		MemoryInBytesByLabelName:    ranks(c.ByBytes),
		SeriesCountByLabelValuePair: ranks(c.ByPair),
	})
}
