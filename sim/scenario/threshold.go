package scenario

// A Threshold is a condition on what a run measured.
type Threshold struct {
	Expr  string `yaml:"expr" doc:"the condition, such as p99(publish) < 500ms" need:"yes"`
	Phase string `yaml:"phase" doc:"phase that it is about; absent: the whole run"`
	Group string `yaml:"group" doc:"group that it is about; absent: all devices"`
}
