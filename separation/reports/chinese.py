"""Words of the reports in Chinese."""

CHINESE = {
    "seconds": "{value} 秒",
    "origin": "配方 {recipe} · 标签 {tag}",
    "origin.more": "{device} · {steps} 步，{minutes} 分钟",
    "range": "95% 置信区间：{low} 至 {high} dB",
    "range.none": "无置信区间",
    "drawn.speakers": "{mixtures} 条混合语音，{speakers} 位说话人；置信区间按说话人重采样。",
    "drawn.few": (
        "{mixtures} 条混合语音，仅 {speakers} 位说话人：置信区间按说话人重采样，人数不足十位，"
        "只能作粗略参考。"
    ),
    "drawn.nothing": (
        "{mixtures} 条混合语音，仅 {speakers} 位说话人：分数只代表这几个人，无法推出对其他人的"
        "置信区间。"
    ),
    "drawn.mixtures": "{mixtures} 条混合语音；说话人未知，置信区间按混合语音重采样。",
    "card.speakers": "{mixtures} 条混合语音，{speakers} 位说话人。",
    "card.few": "{mixtures} 条混合语音，仅 {speakers} 位说话人：区间只是粗略的。",
    "card.nothing": "{mixtures} 条混合语音，仅 {speakers} 位说话人：人数太少，给不出区间。",
    "card.mixtures": "{mixtures} 条混合语音，说话人未知：区间按混合语音重采样。",
    "set.test_seen": "训练中出现过的说话人",
    "set.test_unseen": "训练中从未出现的说话人",
    "set.test": "训练中从未出现的说话人",
    "score": "分离效果",
    "score.unscored": "没有一条混合语音能够打分",
    "score.floor": "混合语音 0",
    "score.ceiling": "{oracle} {value}",
    "score.share": "已达到理想掩蔽的 {share}%。",
    "score.below": "比未处理的混合语音更差。",
    "score.open": "与未处理的混合语音没有明显差别。",
    "score.gauge": "{name}：{mean} dB，刻度从混合语音（0）到 {ceiling}；{range}",
    "score.no_ceiling": "无上限",
    "gap": (
        "模型对听过的说话人提升 {seen} dB，对从未听过的说话人提升 {unseen} dB：有 {gap} dB 没有"
        "推广到新的说话人。"
    ),
    "findings": "瓶颈在哪里，下一步做什么",
    "findings.healthy": "检查过的各项均无问题。",
    "findings.more": "另有 {n} 条结论",
    "finding.fault": "故障",
    "finding.limit": "瓶颈",
    "finding.note": "说明",
    "finding.evidence": "查看依据",
    "finding.evidence_of": "依据：{title}",
    "finding.all": "检查过的各项数据",
    "worth.measured": "实测 {range} dB",
    "worth.expected": "预计 {range} dB，未实测",
    "worth.unknown": "未实测",
    "what": "项目",
    "value": "数值",
    "training": "训练过程",
    "training.train_dynamic": "训练集（动态混合，每步重新混合）",
    "training.train_fixed": "训练集（固定列表）",
    "training.dev": "开发集（固定列表）",
    "training.minutes": "训练时间（分钟）",
    "training.ratio": "{ratio}（dB）",
    "training.curves": (
        "训练集与开发集的 {ratio} 随时间的变化：训练集最终 {train} dB，开发集最终 {dev} dB，最"
        "高 {best} dB"
    ),
    "training.lr": "学习率",
    "mixtures": "逐条混合语音",
    "mixtures.count": "条数",
    "mixtures.histogram": "{split} 上 SI-SDRi 的直方图：{n} 条混合语音，均值 {mean} dB",
    "mixtures.caption": "{split}：均值 {mean} dB，{below}% 低于 0 dB",
    "where": "在哪些情况下好，在哪些情况下差",
    "where.note": (
        "按混合语音的特点细分的 SI-SDRi（dB）：均值、95% 置信区间（不少于十条时给出，按混合语音"
        "重采样）、条数。"
    ),
    "by.sex pair": "性别组合",
    "by.level difference": "电平差",
    "by.length": "时长",
    "by.overlap": "重叠率",
    "by.speaker": "均值最低的说话人",
    "group": "分组",
    "group.same-sex": "同性别",
    "group.different-sex": "异性别",
    "group.unknown": "未知",
    "group.below": "低于 {high} {unit}",
    "group.between": "{low} 至 {high} {unit}",
    "group.from": "{low} {unit} 及以上",
    "of_n": "{n} 条",
    "worst": "{split} 中最差的：{listed}。",
    "examples": "看谱图，听声音",
    "examples.note": (
        "同一条混合语音的各路信号共用一个播放位置，播放时可随时切换。所有语谱图使用同一刻度：从"
        "混合语音最强处往下 {range} dB，频率最高 {khz} kHz。"
    ),
    "examples.best": "最好",
    "examples.median": "中位",
    "examples.worst": "最差",
    "examples.heading": "{split}，{which}：{gain} dB",
    "examples.first": "仅前 {value} 秒",
    "signal.mixture": "混合语音",
    "signal.reference": "参考 {k}",
    "signal.estimate": "估计 {k}",
    "signal.spectrogram": "{name}的语谱图",
    "player": "{title} 的各路信号",
    "player.play": "播放",
    "player.pause": "暂停",
    "player.position": "播放位置（秒）",
    "tables": "全部分数",
    "tables.note": (
        "SI-SDR 先去均值，SDR 采用 BSS Eval v3；单位 dB，对混合语音取平均。凡说话人已知，置信区"
        "间（95%，自助法）均按说话人重采样。"
    ),
    "table.test set": "测试集",
    "table.estimator": "估计器",
    "table.SI-SDRi [95 %]": "SI-SDRi [95%]",
    "table.SDRi [95 %]": "SDRi [95%]",
    "table.same-sex SI-SDRi": "同性别 SI-SDRi",
    "table.different-sex SI-SDRi": "异性别 SI-SDRi",
    "table.mixtures": "混合语音条数",
    "estimator.model": "模型",
    "estimator.mixture": "混合语音（下限）",
    "estimator.oracle": "{name}（理想掩蔽）",
    "problem": "{split}，{estimator}：{n} 条混合语音有问题 {problem}：{listed}。",
    "provenance": "结果的来历",
    "provenance.run": "run.json",
    "provenance.conf": "完整配置 conf.yml",
    "command.again": "重跑同一实验：",
    "footer": "由第 6 步生成的单个文件，不从别处加载任何内容。",
    "overfit.untried": "尚未做十条混合语音的过拟合测试：`{command}`。",
    "overfit.other": "过拟合测试用的是另一个模型：请重新运行 `{command}`。",
    "overfit.passed": "少量混合语音的过拟合测试通过：{sentence}",
    "overfit.failed": "少量混合语音的过拟合测试未通过，此处的分数均不可信：{sentence}",
    "speakers.lowest": "{name}：{n} 位说话人中均值最低的（对其所在的混合语音取平均）：{listed}。",
    "speakers.lowest_often": (
        "{name}：出现在至少 {often} 条混合语音中的 {n} 位说话人里，均值最低的（对其所在的混合语"
        "音取平均）：{listed}。"
    ),
    "correlation": "{name}：提升量与输入分数的秩相关系数为 {value}。",
    "baseline.none": (
        "没有在同一批混合语音上打过分的 {baseline} 可供比较：运行 `{command}` 即可得到。"
    ),
    "baseline.figures": (
        "在 {split} 上的 SI-SDRi：{model} {ours}，{baseline}（{tag}：同样的网络，固定的 STFT）"
        "{theirs}；相差 {difference} dB"
    ),
    "baseline.beats": "{figures}：{model} 明显优于它，符合预期。",
    "baseline.open": (
        "{figures}：{model} 没有明显优于它，可能有问题。请检查两者训练步数是否相当（{ours} 步和"
        " {theirs} 步）、训练损失是否仍在下降、卷积核长度与步长，并运行 `{command}`。"
    ),
    "steps.unknown": "未知",
    "results.sets": "测试集：{sets}。",
    "results.recipe": "配方 {recipe}，标签 {tag}，提交 {commit}，随机种子 {seed}，配置 {config}",
    "results.length": "训练 {minutes} 分钟，{steps} 步，设备 {device}",
    "results.mixtures": "混合语音列表：{prints}",
    "results.audio": "{rate} Hz 的混合音频：{audio}",
    "results.checkpoint": "检查点 sha256 {sha256}",
    "results.again": "重跑同一实验：`{command}`",
    "results.row": "可填入结果表（例如 egs/aishell3mix/README.md 的表）的一行：",
}
