//! Keys that Java knows and that have nothing to steer here, each with the reason.

/// Why a key that Java knows means nothing here; `None` for a key that nobody knows.
pub(super) fn reason(key: &str) -> Option<&'static str> {
    const THREADS: &str = "there are no thread pools to size here";
    const BUFFERS: &str = "buffers size themselves here";
    const JVM: &str = "there is no Java machine here";
    const FIXED: &str = "it is always handled the one safe way here";
    const NOT_THERE: &str = "the feature is not there";
    Some(match key {
        "quorum.cnxn.threads.size"
        | "nio.numSelectorThreads"
        | "nio.numWorkerThreads"
        | "nio.shutdownTimeout"
        | "commitProcessor.numWorkerThreads"
        | "commitProcessor.maxCommitBatchSize"
        | "commitProcessor.maxReadBatchSize"
        | "commitProcessor.shutdownTimeout"
        | "request_throttler.shutdownTimeout"
        | "watcherCleanThreadsNum"
        | "preparedRequestQueueSize" => THREADS,
        "nio.directBufferBytes"
        | "nio.sessionlessCnxnTimeout"
        | "intBufferStartingSizeBytes"
        | "maxResponseCacheSize"
        | "maxGetChildrenResponseCacheSize"
        | "bitHashCacheSize"
        | "messageTracker.BufferSize"
        | "messageTracker.Enabled"
        | "watchManagerName"
        | "watcherCleanIntervalInSeconds"
        | "watcherCleanThreshold"
        | "maxInProcessingDeadWatchers"
        | "netty.advancedFlowControl.enabled"
        | "netty.server.earlyDropSecureConnectionHandshakes"
        | "jute.maxbuffer.extrasize" => BUFFERS,
        "jvm.pause.monitor"
        | "jvm.pause.info-threshold.ms"
        | "jvm.pause.warn-threshold.ms"
        | "jvm.pause.sleep.time.ms"
        | "serverCnxnFactory"
        | "clientCnxnSocket"
        | "jmx.log4j.disable"
        | "jmx.log4j.mbean"
        | "fips-mode"
        | "kinit"
        | "admin.httpVersion"
        | "audit.impl.class" => JVM,
        "learner.closeSocketAsync"
        | "leader.closeSocketAsync"
        | "leader.ackLoggingFrequency"
        | "leaderConnectDelayDuringRetryMs"
        | "leader.nodelay"
        | "follower.nodelay"
        | "follower.skipLearnerRequestToNextProcessor"
        | "forward_learner_requests_to_commit_processor_disabled"
        | "maxWriteQueuePollTime"
        | "quorumCnxnTimeoutMs"
        | "tcpKeepAlive"
        | "observer.syncEnabled"
        | "observerMaster.sizeLimit"
        | "learner.asyncSending.delay"
        | "request_stale_connection_check"
        | "request_stale_latency_check"
        | "request_throttle_drop_stale"
        | "request_throttle_stall_time" => FIXED,
        "pathStats.enabled"
        | "pathStats.delay"
        | "pathStats.initialDelay"
        | "pathStats.maxDepth"
        | "pathStats.sampleRate"
        | "pathStats.slotCapacity"
        | "pathStats.slotDuration"
        | "pathStats.topPathMax"
        | "letAnySaslUserDoX"
        | "controllerPort"
        | "admin.forceHttps"
        | "admin.needClientAuth"
        | "admin.portUnification" => NOT_THERE,
        _ => return None,
    })
}
