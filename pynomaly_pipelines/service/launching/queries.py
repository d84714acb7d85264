"""Everything we ask of Dagster's webserver, as GraphQL. Written for Dagster 1.13; `answers` has the shapes.

An asset run has two kinds of tags that matter here: those Dagster reads (`dagster/priority`, `dagster/partition`) and
ours (`pipeline`, `pynomaly/…`).
"""

from __future__ import annotations

_RUN = """
fragment ARun on Run {
  id
  jobName
  status
  tags { key value }
  creationTime
  startTime
  endTime
  assetSelection { path }
  repositoryOrigin { repositoryLocationName }
}
"""

LOCATION = """
query PynomalyLocation($location: String!) {
  workspaceLocationEntryOrError(name: $location) {
    __typename
    ... on WorkspaceLocationEntry {
      loadStatus
      locationOrLoadError {
        __typename
        ... on RepositoryLocation { name repositories { name jobs { name } } }
        ... on PythonError { message }
      }
    }
  }
}
"""

LAUNCH = (
    """
mutation PynomalyLaunch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { ...ARun } }
    ... on PythonError { message className }
    ... on Error { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
    + _RUN
)

RUNS = (
    """
query PynomalyRuns($filter: RunsFilter, $cursor: String, $limit: Int) {
  runsOrError(filter: $filter, cursor: $cursor, limit: $limit) {
    __typename
    ... on Runs { results { ...ARun } }
    ... on Error { message }
  }
}
"""
    + _RUN
)

COUNT = """
query PynomalyCount($filter: RunsFilter) {
  runsOrError(filter: $filter, limit: 1) {
    __typename
    ... on Runs { count }
    ... on Error { message }
  }
}
"""

RUN = (
    """
query PynomalyRun($id: ID!) {
  runOrError(runId: $id) {
    __typename
    ... on Run {
      ...ARun
      stepKeysToExecute
      executionPlan { steps { key } }
      stepStats {
        stepKey
        status
        startTime
        endTime
        attempts { startTime endTime }
        materializations { assetKey { path } }
      }
    }
    ... on Error { message }
  }
}
"""
    + _RUN
)

ROOT = (
    """
query PynomalyRunAlone($id: ID!) {
  runOrError(runId: $id) {
    __typename
    ... on Run { ...ARun }
    ... on Error { message }
  }
}
"""
    + _RUN
)

EVENTS = """
query PynomalyEvents($id: ID!, $after: String, $limit: Int!) {
  runOrError(runId: $id) {
    __typename
    ... on Run { status stats { ... on RunStatsSnapshot { stepsSucceeded stepsFailed } } stepKeysToExecute }
    ... on Error { message }
  }
  logsForRun(runId: $id, afterCursor: $after, limit: $limit) {
    __typename
    ... on EventConnection {
      cursor
      hasMore
      events {
        __typename
        ... on MessageEvent { message timestamp stepKey eventType }
        ... on MaterializationEvent { assetKey { path } partition metadataEntries { ...Entry } }
        ... on ObservationEvent { assetKey { path } partition metadataEntries { ...Entry } }
        ... on AssetCheckEvaluationEvent {
          evaluation { checkName success severity description assetKey { path } partition }
        }
        ... on ExecutionStepFailureEvent {
          error { ...Problem }
          failureMetadata { description metadataEntries { ...Entry } }
        }
        ... on ExecutionStepUpForRetryEvent { secondsToWait error { ...Problem } }
        ... on RunFailureEvent { error { ...Problem } }
      }
    }
    ... on Error { message }
  }
}
fragment Problem on PythonError { className message causes { className message } }
fragment Entry on MetadataEntry {
  label
  ... on IntMetadataEntry { intRepr }
  ... on FloatMetadataEntry { floatValue }
  ... on TextMetadataEntry { text }
  ... on BoolMetadataEntry { boolValue }
}
"""

TERMINATE = """
mutation PynomalyTerminate($id: String!, $policy: TerminateRunPolicy!) {
  terminateRun(runId: $id, terminatePolicy: $policy) {
    __typename
    ... on TerminateRunSuccess { run { id status } }
    ... on TerminateRunFailure { message }
    ... on Error { message }
  }
}
"""

LIMITS = """
query PynomalyLimits {
  instance {
    runQueuingSupported
    runQueueConfig { maxConcurrentRuns tagConcurrencyLimitsYaml }
    poolConfig { defaultPoolLimit poolGranularity }
    concurrencyLimits { concurrencyKey slotCount limit activeSlotCount pendingStepCount usingDefaultLimit }
  }
}
"""
