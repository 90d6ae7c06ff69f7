"""What is known of modules and of environment variables by their names.

A module that is not here may be anybody's, and read or set any variable when it is imported or used.
"""

from __future__ import annotations

import re
import sys

MAY_DO_ANYTHING = frozenset({"__main__", "builtins", "runpy"})
"""Modules of Python itself that run other code, or change it."""

KNOWN_MODULES = (sys.stdlib_module_names - MAY_DO_ANYTHING) | frozenset(
    """
    numpy pandas scipy sklearn matplotlib mpl_toolkits seaborn plotly bokeh altair holoviews hvplot panel datashader
    folium geopandas shapely rasterio fiona pyproj contextily h3 statsmodels patsy pymc pymc3 arviz pystan cmdstanpy
    prophet neuralprophet pmdarima sktime tslearn tsfresh darts lightgbm xgboost catboost imblearn category_encoders
    feature_engine shap lime eli5 yellowbrick optuna hyperopt skopt nevergrad bayes_opt ray joblib dask distributed modin
    vaex polars pyarrow fastparquet duckdb cudf cuml cupy numba cython Cython jax jaxlib flax optax haiku torch
    torchvision torchaudio torchtext torchmetrics pytorch_lightning lightning fastai timm einops tensorflow tensorflow_hub
    tensorflow_probability tensorflow_datasets tf_keras keras keras_tuner transformers tokenizers datasets evaluate
    accelerate peft trl diffusers sentence_transformers huggingface_hub safetensors bitsandbytes onnx onnxruntime openvino
    gensim nltk spacy textblob pymorphy2 pymorphy3 razdel natasha pymystem3 sacremoses sentencepiece rouge_score sacrebleu
    tiktoken openai anthropic langchain langchain_core langchain_community langchain_openai llama_index faiss annoy
    hnswlib chromadb qdrant_client pinecone networkx igraph node2vec dgl torch_geometric cv2 PIL skimage imageio
    albumentations imgaug pytesseract easyocr mmcv mmdet ultralytics detectron2 librosa soundfile pydub audioread
    noisereduce requests httpx aiohttp urllib3 bs4 lxml html5lib scrapy selenium feedparser tqdm rich tabulate prettytable
    termcolor colorama humanize IPython ipywidgets ipykernel jupyter_client nbformat traitlets sqlalchemy psycopg2 psycopg
    asyncpg pymysql MySQLdb pymongo redis cassandra clickhouse_driver clickhouse_connect clickhouse_sqlalchemy cx_Oracle
    oracledb pyodbc pyhive impala trino prestodb snowflake databricks boto3 botocore s3fs fsspec gcsfs adlfs google azure
    yandexcloud ydb yt vk kafka confluent_kafka pika elasticsearch opensearchpy pyspark findspark delta koalas h2o
    pysparkling mlflow wandb neptune comet_ml clearml dvc dvclive tensorboard tensorboardX yaml toml tomli tomllib orjson
    ujson simplejson jsonschema msgpack openpyxl xlrd xlsxwriter xlwt docx pptx PyPDF2 pypdf fitz reportlab dateutil pytz
    pendulum arrow holidays workalendar workdays attr attrs cattrs pydantic marshmallow dill cloudpickle psutil GPUtil
    pynvml memory_profiler line_profiler more_itertools toolz cytoolz funcy sortedcontainers regex unidecode rapidfuzz
    fuzzywuzzy thefuzz Levenshtein jellyfish langdetect emoji pycountry geopy simpy sympy mpmath uncertainties pint
    astropy Bio rdkit deepchem ase networkit pulp cvxpy pyomo ortools gurobipy mip deap gym gymnasium stable_baselines3
    great_expectations pandera ydata_profiling pandas_profiling sweetviz missingno janitor tensorly implicit lightfm
    surprise recbole rectools replay factor_analyzer pingouin lifelines econml dowhy causalml causalinference lifetimes
    mlxtend umap hdbscan openTSNE pacmap pycaret autogluon tpot flaml lightautoml supervised scikitplot graphviz pydot
    pydotplus dtreeviz wordcloud pyvis squarify pywt tables h5py netCDF4 xarray zarr rioxarray cartopy metpy gluonts
    statsforecast neuralforecast mlforecast hierarchicalforecast utilsforecast yfinance pandas_datareader alpaca talib ta
    zstandard lz4 snappy paramiko jinja2 markdown pytest hypothesis typing_extensions packaging setuptools pkg_resources
    pip six future past dsjobs gspread kaggle opendatasets wget gdown missforest boruta scorecardpy optbinning toad
    hmmlearn pomegranate pgmpy filterpy pykalman ruptures stumpy pyod alibi_detect evidently whylogs featuretools woodwork
    nolds antropy mne nibabel nilearn SimpleITK pydicom monai kornia open3d trimesh pyvista vtk mayavi ipyleaflet pydeck
    keplergl bqplot sagemaker jsonlines jmespath pycocotools mxnet gluoncv numexpr vega_datasets grpc tensorflow_serving
    urlextract
    """.split()
)
"""Modules that read no variables but their own, `PLAUSIBLE`, and set none of those that a notebook reads."""

SET_BY_THE_SYSTEM = re.compile(
    r"HOME|PATH|PWD|OLDPWD|USER|USERNAME|LOGNAME|SHELL|HOSTNAME|LANG|LANGUAGE|LC_\w+|TZ|TERM|TMPDIR|TEMP|TMP|DISPLAY|EDITOR|MAIL"
    r"|UID|SHLVL|SYSTEMROOT|COMPUTERNAME|USERPROFILE|APPDATA|LD_LIBRARY_PATH|VIRTUAL_ENV|CI|XDG_\w+"
    r"|PYTHON\w*|JPY_\w+|JUPYTER\w*|KERNEL_\w+|CONDA_\w+|DSJOBS_\w+|CUDA\w*|NVIDIA_\w+|MPLBACKEND|COLAB_\w+|KAGGLE_\w+"
)
"""Variables that the system, a virtual machine, Jupyter or dsjobs sets: none of them is an input that was forgotten."""

_PREFIXES = (
    "AWS SAGEMAKER GOOGLE GCP GCLOUD GCS AZURE YC YANDEX YT YDB BOTO CUDA NVIDIA NCCL TORCH PYTORCH TF XLA JAX "
    "KERAS OMP MKL KMP OPENBLAS BLIS VECLIB GOTO NUMEXPR NUMBA NPY NUMPY PANDAS MODIN DASK RAY POLARS ARROW DUCKDB "
    "SPARK PYSPARK HADOOP HIVE YARN JAVA JDK MLFLOW WANDB NEPTUNE COMET CLEARML TRAINS DVC HF HUGGINGFACE "
    "TRANSFORMERS TOKENIZERS DIFFUSERS OPENAI ANTHROPIC LANGCHAIN LANGSMITH COHERE PINECONE KAGGLE PYTHON PIP CONDA "
    "UV SNOWFLAKE DATABRICKS TNS SSL REQUESTS CURL GIT DOCKER KUBERNETES LC LD XDG MPL SKLEARN LOKY JOBLIB LIGHTGBM "
    "XGBOOST CATBOOST NLTK SPACY GDAL QT SENTRY PREFECT AIRFLOW DAGSTER DBT JUPYTER JPY IPYTHON DSJOBS OTEL GRPC"
).split()
PLAUSIBLE = re.compile(
    rf"(?:{'|'.join(_PREFIXES)})_\w+"
    r"|PG[A-Z]+|PROJ_(?:LIB|DATA)|S3_(?:ENDPOINT|USE_HTTPS|VERIFY_SSL|REGION)\w*|ORACLE_HOME|MPLBACKEND|TZ|LANG|HOME|PATH|TMPDIR"
    r"|DISPLAY|NO_COLOR|FORCE_COLOR|TERM|DATABASE_URL|(?:HTTPS?|FTP|ALL|NO)_PROXY|(?:https?|ftp|all|no)_proxy"
    r"|MPLCONFIGDIR|TE?MP|MASTER_(?:ADDR|PORT)|(?:LOCAL_|NODE_)?RANK|(?:LOCAL_)?WORLD_SIZE|CUBLAS_\w+|TFDS_\w+|TFHUB_\w+"
    r"|SENTENCE_TRANSFORMERS_HOME|SCIKIT_LEARN_DATA|HDF5_\w+|PROTOCOL_BUFFERS_\w+|NIXTLA_\w+|KRB5\w*|NLS_\w+|ODBC\w+"
    r"|SOURCE_DATE_EPOCH|PYTHON\w+|LINES|COLUMNS"
)
"""Variables that a library may read, which no cell has to name."""

SECRET = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|(API|ACCESS|PRIVATE)_?KEY", re.IGNORECASE)
