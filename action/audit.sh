#!/usr/bin/env bash
# Audits, annotates, writes the job summary and the reports; ends with golf-audit's exit code.
# All input comes by the environment, so that no text of a pull request is ever part of a command:
#   GOLF_AUDIT  the program           GOLF_PATH  what to audit        GOLF_BASE  ref to compare with
#   GOLF_SUBMISSION  which folder     GOLF_FAIL_ON  verdict           GOLF_PROBE, GOLF_SUPPRESSIONS  true or false
#   GOLF_REPORTS  folder for reports  GITHUB_OUTPUT, GITHUB_STEP_SUMMARY, RUNNER_TEMP  as GitHub sets them
set -uo pipefail

reports=${GOLF_REPORTS:-}
[ -n "$reports" ] || reports=${RUNNER_TEMP:-/tmp}/golf-audit-reports
mkdir -p "$reports" || exit 3
# What lies there is of another audit, or a stranger put it there.
rm -rf -- "$reports"/golf-audit.{sarif,html,json,md,stderr} || exit 3
errors=$reports/golf-audit.stderr

arguments=(audit "${GOLF_PATH:-.}" --fail-on "${GOLF_FAIL_ON:-non_compliant}" --base "${GOLF_BASE:-origin/main}"
           --format github --format "markdown=$reports/golf-audit.md" --format "json=$reports/golf-audit.json"
           --format "sarif=$reports/golf-audit.sarif" --format "html=$reports/golf-audit.html")
[ -z "${GOLF_SUBMISSION:-}" ] || arguments+=(--submission "$GOLF_SUBMISSION")
[ "${GOLF_PROBE:-false}" = true ] || arguments+=(--no-probe)
[ "${GOLF_SUPPRESSIONS:-false}" = true ] || arguments+=(--ignore-suppressions)

"${GOLF_AUDIT:-golf-audit}" "${arguments[@]}" 2>"$errors"
code=$?

# What golf-audit said on the side may quote a stranger's names: GitHub must read no command in it.
if [ -s "$errors" ]; then
  token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  printf '::stop-commands::%s\n' "$token"
  cat "$errors"
  printf '::%s::\n' "$token"
fi

summary=${GITHUB_STEP_SUMMARY:-/dev/null}
if [ -s "$reports/golf-audit.md" ]; then
  cat "$reports/golf-audit.md" >>"$summary"
else
  { printf '## golf-audit: no audit could be made (exit code %s)\n\n' "$code"; sed 's/^/    /' "$errors"; } >>"$summary"
fi

{
  printf 'exit-code=%s\n' "$code"
  printf 'report-dir=%s\n' "$reports"
  # The key of the top level alone has one space before it (golf-audit writes its JSON with an indent of one).
  printf 'verdict=%s\n' "$(sed -n 's/^ "verdict": "\([a-z_]*\)",$/\1/p' "$reports/golf-audit.json" 2>/dev/null)"
} >>"${GITHUB_OUTPUT:-/dev/null}"

exit "$code"
