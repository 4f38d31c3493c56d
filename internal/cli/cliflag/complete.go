package cliflag

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/text/currency"

	"github.com/cxgctl/cxgctl/internal/validate"
)

// Files completes the names of files.
var Files = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)

// CompleteFlag completes fixed words as the value of a flag. A word can have a description after a tab.
func CompleteFlag(cmd *cobra.Command, flag string, words ...string) {
	CompleteFlagWith(cmd, flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// CompleteFlagWith completes the value of a flag with the words of a function. For a flag that takes a list, it
// completes the last value of the list, and leaves out the values that are in the list already.
func CompleteFlagWith(cmd *cobra.Command, flag string, complete cobra.CompletionFunc) {
	list, many := cmd.Flag(flag).Value.(pflag.SliceValue)
	isSplit := many && cmd.Flag(flag).Value.Type() != "stringArray"
	Must(cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		before, given := "", []string(nil)
		if isSplit {
			before = typed[:strings.LastIndexByte(typed, ',')+1]
			given = append(strings.Split(before, ","), list.GetSlice()...)
		}
		return matching(complete, cmd, args, before, typed[len(before):], given)
	}))
}

// CompleteArgs completes each argument with its own function, and the arguments after the last function with nothing.
func CompleteArgs(functions ...cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= len(functions) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return matching(functions[len(args)], cmd, args, "", typed, nil)
	}
}

// CompleteRefs completes any number of different arguments.
func CompleteRefs(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return matching(complete, cmd, args, "", typed, args)
	}
}

// matching returns the words that begin with typed and are not given yet, each after the text before it.
func matching(complete cobra.CompletionFunc, cmd *cobra.Command, args []string, before, typed string, given []string) (
	list []cobra.Completion, directive cobra.ShellCompDirective,
) {
	words, directive := complete(cmd, args, typed)
	for _, w := range words {
		text, _, _ := strings.Cut(w, "\t")
		isGiven := slices.ContainsFunc(given, func(g string) bool { return stem(g) == stem(text) })
		if strings.HasPrefix(text, typed) && !isGiven {
			list = append(list, before+w)
		}
	}
	return list, directive
}

// stem returns a value of a list without the marks of columns and sort fields: -email, created_at:desc.
func stem(value string) string {
	value, _, _ = strings.Cut(strings.TrimLeft(value, "+-"), ":")
	return value
}

// CompleteTypical completes a flag that has no words of its own with typical values of its type.
func CompleteTypical(cmd *cobra.Command, f *pflag.Flag) {
	if _, has := cmd.GetFlagCompletionFunc(f.Name); has {
		return
	}
	switch f.Value.Type() {
	case "time", "date":
		CompleteFlag(cmd, f.Name, "today", "yesterday", "this-month", "last-month", "7d\ta week ago", "30d\t30 days ago", "1y\ta year ago")
	case "span":
		CompleteFlag(cmd, f.Name, "1h", "12h", "7d", "30d", "90d", "1y")
	case "duration":
		CompleteFlag(cmd, f.Name, "5s", "30s", "1m", "5m")
	}
}

// CompleteSort completes a flag that takes sort fields: FIELD and FIELD:desc, or -FIELD after a dash.
func CompleteSort(cmd *cobra.Command, fields ...string) {
	CompleteFlagWith(cmd, "sort", func(_ *cobra.Command, _ []string, typed string) (words []cobra.Completion, _ cobra.ShellCompDirective) {
		for _, f := range fields {
			if strings.HasPrefix(typed, "-") {
				words = append(words, "-"+f)
			} else {
				words = append(words, f, f+":desc")
			}
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	})
}

// CompleteZone completes a flag with time zones, first the region and then the city.
func CompleteZone(cmd *cobra.Command, flag string) {
	CompleteFlagWith(cmd, flag, func(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if strings.Contains(typed, "/") {
			return validate.Zones(), cobra.ShellCompDirectiveNoFileComp
		}
		regions := slices.Clone(validate.Zones())
		for i, zone := range regions {
			region, _, _ := strings.Cut(zone, "/")
			regions[i] = zone[:min(len(region)+1, len(zone))]
		}
		return slices.Compact(regions), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	})
}

// CompleteCurrency completes a flag with the codes of currencies.
func CompleteCurrency(cmd *cobra.Command) {
	var codes []string
	for q := currency.Query(); q.Next(); {
		codes = append(codes, q.Unit().String())
	}
	slices.Sort(codes)
	CompleteFlag(cmd, "currency", slices.Compact(codes)...)
}

// CompleteLocale completes a flag with common locales.
func CompleteLocale(cmd *cobra.Command) {
	CompleteFlag(cmd, "locale", "de-DE", "en-GB", "en-US", "es-ES", "fr-FR", "ja-JP", "ko-KR", "vi-VN", "zh-CN", "zh-TW")
}
